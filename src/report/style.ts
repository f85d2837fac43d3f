/** How pages look: the reports and the page in the browser. */
import { fontStack, schemeCss } from "./theme.ts";

/** As CSS. */
export const pageStyle = `
${schemeCss(":root")}
*,*::before,*::after{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 ${fontStack}}
.page{max-width:1120px;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{font-size:1.25rem;line-height:1.3;margin:3rem 0 .75rem;letter-spacing:-.01em}
h3{font-size:1rem;line-height:1.35;margin:0 0 .35rem}
p,ul{margin:.6rem 0;max-width:72ch}
ul{padding-left:1.2rem}
li{margin:.35rem 0}
a{color:var(--link)}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.875em}
.subtitle{color:var(--muted);margin:.35rem 0 0;overflow-wrap:anywhere}
.verdict{font-size:1.125rem;line-height:1.5;margin:1.5rem 0 0;padding:.85rem 1.1rem;max-width:none;background:var(--panel);border-left:4px solid var(--blue);border-radius:0 6px 6px 0}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:1.1rem 1.5rem;margin:1.5rem 0 0}
.facts div{min-width:0}
.facts dt{color:var(--muted);font-size:.8125rem;line-height:1.35}
.facts dd{margin:.1rem 0 0;font-size:1.1875rem;line-height:1.3;font-weight:600;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.facts small{display:block;font-size:.8125rem;font-weight:400;color:var(--muted)}
.figures,.columns{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr));gap:2.25rem 2rem}
.figures{margin-top:1.25rem}
.quadrant figure+figure{margin-top:.25rem}
.quadrants h3{margin:0}
.story{margin:1rem 0 0;padding:0;list-style:none;max-width:none}
.story b{color:var(--ink)}
.columns{gap:0 2rem}
figure{margin:0;min-width:0}
figure svg{display:block;width:100%;height:auto;color:var(--ink)}
figcaption{color:var(--muted);font-size:.8125rem;line-height:1.45;margin-top:.25rem}
.choice{position:absolute;opacity:0;width:1px;height:1px;margin:0;pointer-events:none}
.toggle{display:flex;flex-wrap:wrap;align-items:center;gap:.35rem .75rem;color:var(--muted);font-size:.875rem}
.toggle .options{display:inline-flex;border:1px solid var(--rule);border-radius:6px;overflow:hidden}
.toggle label{padding:.3rem .8rem;cursor:pointer;color:var(--ink)}
.toggle label+label{border-left:1px solid var(--rule)}
#axis-linear:checked~* label[for=axis-linear],#axis-log:checked~* label[for=axis-log]{background:var(--ink);color:var(--paper)}
#axis-linear:focus-visible~* label[for=axis-linear],#axis-log:focus-visible~* label[for=axis-log]{outline:2px solid var(--link);outline-offset:-4px}
#axis-linear:checked~* .axis-log,#axis-log:checked~* .axis-linear{display:none}
.strip{display:flex;flex-wrap:wrap;gap:1.5rem 1.1rem;margin-top:1rem}
.strip .frame{flex:1 1 150px;max-width:240px}
.frame figcaption{margin:0 0 .3rem;color:var(--ink)}
.frame figcaption b::first-letter{text-transform:uppercase}
.blocks p{display:flex;justify-content:space-between;gap:.5rem;margin:.35rem 0 .1rem;font-size:.75rem;line-height:1.3;color:var(--muted);white-space:nowrap}
.blocks b{color:var(--ink);font-variant-numeric:tabular-nums}
.player{margin-top:1.75rem;padding:1rem;background:var(--panel);border-radius:6px}
.player label{display:flex;flex-wrap:wrap;align-items:center;gap:.25rem 1rem;font-weight:600;font-size:.875rem}
.player input{flex:1 1 14rem;accent-color:var(--blue);margin:.5rem 0}
.player .blocks{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:.25rem 1.25rem}
.player .blocks div{max-width:330px}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;font-size:.8125rem;color:var(--muted)}
.legend i{display:inline-block;width:1.1em;height:.8em;margin-right:1px}
[hidden]{display:none!important}
.scroll{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-size:.875rem;line-height:1.4;font-variant-numeric:tabular-nums;min-width:min(100%,30rem)}
caption{text-align:left;color:var(--muted);font-size:.8125rem;padding-bottom:.4rem}
th,td{padding:.4rem .9rem .4rem 0;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:last-child,td:last-child{padding-right:0}
th:first-child,td:first-child{text-align:left}
thead th{font-weight:600;vertical-align:bottom;border-bottom-color:var(--muted)}
tbody th{font-weight:400}
.swatch{width:2.2em;height:.7em;vertical-align:baseline;margin-right:.5em}
.missing{margin:.75rem 0;padding:.6rem 1rem;border:1px dashed var(--muted);border-radius:6px;max-width:none;overflow-wrap:anywhere}
.note{color:var(--muted);font-size:.875rem}
details{margin:.75rem 0;border:1px solid var(--rule);border-radius:6px;padding:0 1rem}
summary{cursor:pointer;padding:.6rem 0;font-weight:600}
pre{margin:0 0 1rem;padding:.75rem;overflow-x:auto;background:var(--panel);border-radius:6px;font:.8125rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;tab-size:2}
footer{margin-top:3.5rem;padding-top:1rem;border-top:1px solid var(--rule);color:var(--muted);font-size:.8125rem;overflow-wrap:anywhere}
@media (max-width:520px){.page{padding:1.5rem .75rem 3rem}h1{font-size:1.4rem}h2{margin-top:2.25rem}.facts{gap:.9rem 1rem}.facts dd{font-size:1.0625rem}.verdict{font-size:1rem;padding:.75rem .9rem}figcaption{font-size:.875rem}}
@media print{.page{max-width:none;padding:0}figure,table{break-inside:avoid}.toggle{display:none}}
`.trim();
