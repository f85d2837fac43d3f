/** What the Wasm module exports (assembly/index.ts): numbers and byte addresses only. */

/** The model that `plan` lays out, each field a mutable global of the core; 0 and 1 for no and yes. */
export type ModelFields = Record<
  | "dVocab"
  | "dModel"
  | "nHeads"
  | "nLayers"
  | "dMlp"
  | "nCtx"
  | "roles"
  | "activation"
  | "tiedEmbeddings"
  | "microBatchTokens"
  | "gradients"
  | "moments"
  | "ivon"
  | "curvature"
  | "kronecker",
  { value: number }
>;

export interface CoreExports extends ModelFields {
  memory: WebAssembly.Memory;
  /** Bytes of memory that the model needs. */
  plan(): number;
  grow(bytes: number): boolean;
  initialise(ropeBase: number): void;
  packWeights(backward: boolean): void;
  packDirection(backward: boolean): void;
  forward(sequences: number, length: number, positions: number): void;
  forwardBackward(sequences: number, length: number, positions: number, weight: number): number;
  backwardLogits(): void;
  forwardJvp(sequences: number, length: number, positions: number): void;
  hessianVector(sequences: number, length: number, positions: number, weight: number): void;
  ggnVector(sequences: number, length: number, positions: number, weight: number): void;
  kroneckerClear(): void;
  kroneckerForward(sequences: number, length: number, positions: number): void;
  kroneckerBackward(): void;
  squaresClear(): void;
  squaresBackward(): void;
  logitRootColumn(position: number, column: number): void;
  logitRootSigns(seed: number, stream: number, probe: number, firstPrediction: number, weight: number): void;
  softmax(rows: number): void;
  zeroGradient(): void;
  clearTotal(): void;
  addToTotal(): void;
  totalToGradient(): void;
  gradientSquaredNorm(): number;
  adamwStep(
    t: number,
    learningRate: number,
    weightDecay: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    gradientScale: number,
    exclude: number,
  ): void;
  ivonBegin(): void;
  ivonSample(lambda: number, delta: number, seed: number, stream: number, step: number, sample: number): void;
  ivonAccumulate(lambda: number, delta: number): void;
  ivonStep(
    t: number,
    learningRate: number,
    delta: number,
    beta1: number,
    beta2: number,
    samples: number,
    clip: number,
  ): void;
  ivonRestore(): void;
  selectDropout(rate: number, seed: number, stream: number, step: number): void;
  setFirstSequence(first: number): void;

  elboPlan(d: number, n: number, full: boolean): number;
  elboBegin(): void;
  elboStep(eta: number, noise: number, sig2: number, prior: number): boolean;
  elboMeasure(): void;
  elboStride(): number;
  elboInputs(): number;
  elboLabels(): number;
  elboTeacher(): number;
  elboMean(): number;
  elboFactor(): number;
  elboMeasures(): number;

  parameterCount(): number;
  tensorCount(): number;
  selectTensor(index: number): void;
  tensorKind(): number;
  tensorBlock(): number;
  tensorOffset(): number;
  tensorRows(): number;
  tensorColumns(): number;
  parametersPointer(): number;
  gradientPointer(): number;
  firstMomentPointer(): number;
  secondMomentPointer(): number;
  tokensPointer(): number;
  positionsPointer(): number;
  targetsPointer(): number;
  logitsPointer(): number;
  logitsStride(): number;
  featuresPointer(): number;
  squaresPointer(): number;
  factorsPointer(): number;
  factorsLength(): number;
  directionPointer(): number;
  logitsTangentPointer(): number;

  heapBase(): number;
  activationForward(out: number, x: number, n: number, tangents: boolean): void;
  activationBackward(dout: number, x: number, n: number, tangents: boolean): void;
  packedAFloats(): number;
  panelColumns(): number;
  packB(dst: number, src: number, k: number, n: number, sk: number, sn: number): void;
  gemm(
    m: number,
    n: number,
    k: number,
    a: number,
    sm: number,
    sk: number,
    packedB: number,
    c: number,
    ldc: number,
    accumulate: boolean,
    scratch: number,
  ): void;
  gemmNaive(
    m: number,
    n: number,
    k: number,
    a: number,
    sm: number,
    sk: number,
    b: number,
    sk2: number,
    sn: number,
    c: number,
    ldc: number,
    accumulate: boolean,
  ): void;
  philox(out: number, c0: number, c1: number, c2: number, c3: number, k0: number, k1: number): void;
  normals16(words: number): void;
  exp(x: number): number;
  tanh(x: number): number;
  multiplyAdd(a: number, b: number, c: number): number;
  ceiling(n: number, x: number, y: number, out: number): void;
  ceilingUnrolled(n: number, x: number, y: number, out: number): void;
  ceilingFlops(): number;
}
