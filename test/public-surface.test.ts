/** What other programs may rely on: the names of the three entry points. */
import { resolve } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const src = resolve(import.meta.dirname, "../src");
const file = (entry: string) => resolve(src, entry);
const program = ts.createProgram([file("index.ts")], {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.NodeNext,
  allowImportingTsExtensions: true,
  noEmit: true,
  strict: true,
});
const checker = program.getTypeChecker();

/** Name -> the declared symbol behind it. */
function surface(entry: string): Map<string, ts.Symbol> {
  const source = program.getSourceFile(file(entry))!;
  const names = checker.getExportsOfModule(checker.getSymbolAtLocation(source)!);
  const declared = (symbol: ts.Symbol) =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  return new Map(names.map((symbol) => [symbol.name, declared(symbol)]));
}

describe("the public surface", () => {
  it("of epigrok is this list", () => {
    expect([...surface("index.ts").keys()].sort()).toMatchInlineSnapshot(`
      [
        "AdamWTraining",
        "Batch",
        "Config",
        "ConfigInput",
        "CurvatureProducts",
        "Decomposition",
        "DetectorOptions",
        "DetectorState",
        "DiagnoseOptions",
        "Diagnosis",
        "DiagnosisResult",
        "DiagnosisSettings",
        "EnsembleMeasures",
        "Evaluation",
        "EvaluationDiagnosis",
        "ExportFormat",
        "ExportOptions",
        "ForeignRunError",
        "GrokkingDetector",
        "IvonTraining",
        "KroneckerFactors",
        "MathMode",
        "MetricsRecord",
        "MissingRunError",
        "NumberArray",
        "PosteriorOptions",
        "ProbeSet",
        "RunData",
        "RunOptions",
        "RunOutcome",
        "RunSummary",
        "Safetensors",
        "SpectrumOptions",
        "StoredCheckpoint",
        "SweepInput",
        "SweepObserver",
        "SweepOptions",
        "SweepOutcome",
        "Transformer",
        "TransformerOptions",
        "TransformerShape",
        "TransformerWith",
        "UncertaintyObservation",
        "UsageError",
        "accuracy",
        "adaptiveCalibrationError",
        "brierScore",
        "configSchema",
        "createConfig",
        "createProbeSets",
        "createTransformer",
        "decodeSafetensors",
        "decompose",
        "detectGrokking",
        "diagnose",
        "enableWideSimd",
        "ensembleMeasures",
        "exactPosterior",
        "exactPredictive",
        "expectedCalibrationError",
        "exportData",
        "inWords",
        "jensenShannon",
        "listPresets",
        "loadCheckpoint",
        "negativeLogLikelihood",
        "readCheckpoint",
        "readRun",
        "regret",
        "runEnsemble",
        "runPosteriors",
        "runSpectra",
        "runSweep",
        "theory",
        "totalVariation",
        "writeFigures",
        "writeReport",
        "writeSweepReport",
      ]
    `);
  });
});
