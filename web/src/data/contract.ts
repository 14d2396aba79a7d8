/** What the report writer (src/filterscope/report) hands to the page: an index, and shards that are read when needed. */

/** [height, width], or [y, x]. */
export type Pair = [number, number];

/** The shard "index": the atlases of this page, the first of them being the one that it opens with. */
export interface Index {
  format: 1;
  filterscope: string;
  atlases: Manifest[];
}

/** One atlas: everything that the first view needs. Its other shards are named `KEY/...`. */
export interface Manifest {
  key: string;
  title: string;
  network: string;
  networkDigest: string;
  images: string | null;
  imageCount: number;
  /** When the last run that finished did so (ISO 8601), null: none did. */
  made: string | null;
  inputSize: Pair | null;
  missing: Missing[];
  /** The images' classes, in the order of `ClassMeans`. */
  labels: { name: string; images: number }[];
  /** In execution order. */
  layers: LayerInfo[];
  nodes: GraphNode[];
  bands: Band[];
  /** Which numbers are known of units, in the order in which they are offered. */
  columns: Column[];
  /** Small pictures of all units: number `LayerInfo.firstPicture + place of the unit`. */
  overview: Partial<Record<"optimum" | "patch" | "kernel", PictureSet>>;
  /** Place, in the shard "KEY/images", of the photograph on which receptive fields are drawn; null: there is none. */
  photograph: number | null;
  /** Pictures of that photograph alone, so that the first view need not wait for the others. */
  photographPicture: PictureSet | null;
  hasClasses: boolean;
  hasDiagnosis: boolean;
  /** How many images there are whose activation maps are kept. */
  mapImages: number;
  /** Settings of the lenses that have been at work, by name of the lens. */
  lenses: Record<string, Record<string, unknown>>;
}

/** What this atlas lacks of a whole one. `lens`: kernels, patches, optima, classes, run. */
export interface Missing {
  lens: string;
  /** "absent": never begun; "unfinished": begun, and stopped before its end. */
  state: "absent" | "unfinished";
}

export interface LayerInfo {
  name: string;
  /** The layer's own shard is `KEY/layer-ID`, its class means `KEY/means-ID`, its activation maps `KEY/maps-ID`, what its
   * units answer to `KEY/behaviour-ID`. */
  id: number;
  position: number;
  kind: string;
  channels: number;
  inChannels: number | null;
  kernel: Pair | null;
  stride: Pair | null;
  padding: Pair | null;
  dilation: Pair | null;
  groups: number | null;
  outputSize: Pair | null;
  parameters: number;
  flops: number | null;
  calls: number;
  observed: string;
  fieldSize: Pair | null;
  fieldStride: Pair | null;
  fieldStart: Pair | null;
  wholeImage: boolean;
  gated: boolean;
  firstPicture: number;
  /** The layer in numbers, by the name of a `Column`: median over its units. */
  medians: Record<string, number | null>;
  /** Units that never fired, and that found no stimulus; null: not looked at. */
  neverFired: number | null;
  noStimulus: number | null;
  /** How many units are for certain of no use, by kind; null: not looked at. */
  proven: Record<Proven, number> | null;
  hasMeans: boolean;
  hasMaps: boolean;
  hasBehaviour: boolean;
  /** What the layer does, every live unit counted alike or by its importance; null: not looked at. */
  functions: { number: LayerShares | null; importance: LayerShares | null } | null;
}

/** Kinds of findings that say for certain that a unit does no work. */
export type Proven = "provably dead" | "unread" | "constant";

/** Shares and both ends of their 90 % intervals, in the order of `FUNCTIONS`; null: not applicable. */
export interface LayerShares {
  shares: (number | null)[];
  low: (number | null)[];
  high: (number | null)[];
  /** Units that counted, and those that did not as nothing brings them above zero. */
  units: number;
  dead: number;
  /** Of those that counted, the ones with these labels. */
  bags: number;
  mixed: number;
  label: string;
  compound: string;
}

export interface GraphNode {
  id: number;
  kind: string;
  name: string | null;
  channels: number | null;
  size: Pair | null;
  inputs: number[];
}

/** One row of the picture's foot: `parts[i].values[layer]`. "share": parts of 1 that are stacked; "value": bars from 0. */
export interface Band {
  id: string;
  kind: "share" | "value";
  parts: { id: string; values: (number | null)[] }[];
}

export interface Column {
  id: string;
  kind: "number" | "share" | "ratio" | "rank" | "count" | "correlation";
}

/** Tiles of one size in a row-major grid, on one or more sheets, `perSheet` tiles each (the last may have fewer). */
export interface PictureSet {
  /** [height, width] of a tile in pixels; the step of the grid is `step`, the tile lies at its top left. */
  tile: Pair;
  step: Pair;
  columns: number;
  perSheet: number;
  /** Names of the shards; each is a data: URL of an image. */
  sheets: string[];
}

/** Picture number `i` of a unit's `n`th is at `place * perUnit + n`, `place` being the unit's place in `units`. */
export interface LayerData {
  units: number[];
  /** By the name of a `Column`, one a unit, null: unknown. */
  numbers: Record<string, (number | null)[]>;
  /** Best first; empty: none was looked for. */
  optima: OptimumInfo[][];
  /** Strongest first. */
  patches: PatchInfo[][];
  /** One a method: what each of a unit's patches was carried back from the layer to the pixels as. */
  backprojections: BackProjections[];
  /** One a unit; null: none was made. */
  effective: (EffectiveKernelInfo | null)[] | null;
  /** One a unit, its shares being numbers of their own; null: not looked at. */
  functions: (UnitFunction | null)[] | null;
  /** What is certain of each unit; null: nothing of any. */
  proven: Proven[][] | null;
  /** Input channels of the slices drawn, strongest first; an empty list where the kernel is drawn in colour. */
  slices: number[][] | null;
  histograms: { image: HistogramInfo | null; position: HistogramInfo | null }[] | null;
  /** [unit, correlation of the responses], most alike first. */
  alike: [number, number][][] | null;
  pictures: {
    /** One a unit: its best optimum. */
    optimum?: PictureSet & { perUnit: number };
    /** One a unit: its strongest patch. */
    patch?: PictureSet & { perUnit: number };
    /** All patches of a unit. */
    patches?: PictureSet & { perUnit: number };
    kernel?: PictureSet & { perUnit: number };
    /** One a unit: its effective kernel. */
    effective?: PictureSet & { perUnit: number };
    /** By method, numbered like `patches`. */
    backprojections?: Record<string, PictureSet & { perUnit: number }>;
    /** All optima of a unit, where it has more than one. */
    optima?: PictureSet & { perUnit: number };
  };
}

export interface OptimumInfo {
  variant: string;
  seed: number;
  activation: number;
  natural: number | null;
  ratio: number | null;
  selectivityRank: number;
  robustness: number | null;
  agreement: number | null;
  pathSimilarity: number | null;
  pathNatural: number | null;
  start: string;
  steps: number;
  seconds: number;
  status: string;
}

export interface PatchInfo {
  /** Place in the shard "KEY/images". */
  image: number;
  activation: number;
  y: number;
  x: number;
  /** Top, left, bottom, right in pixels of the network's input, the last two exclusive. */
  box: [number, number, number, number];
}

export interface BackProjections {
  /** "deconvnet", "guided", "gradient", "gradient x input". */
  method: string;
  /** What full colour stands for in each picture, by unit and patch; null: there is none. */
  peaks: (number | null)[][];
}

export interface EffectiveKernelInfo {
  images: number;
  linearity: number | null;
  /** What images whose weights have nothing in common would give. */
  floor: number | null;
  /** Height and width in pixels of the network's input. */
  size: Pair;
  /** What full colour stands for. */
  peak: number | null;
}

/** What a unit does: ends of the intervals as in `LayerShares`. */
export interface UnitFunction {
  /** One of `FUNCTIONS`, or "bag of parts", "mixed", "dead". */
  label: string;
  /** All functions that surely have a part in it: "80 % texture + 10 % edge". */
  compound: string;
  low: (number | null)[];
  high: (number | null)[];
  /** The statistics that there were not. */
  missing: string | null;
}

/** The shard "KEY/behaviour-ID". */
export interface Behaviour {
  tuning: TuningData | null;
  /** One a unit; null: nothing brought it above its response to grey. */
  perturbations: (PerturbationInfo | null)[] | null;
  /** The tiles of each unit: its strongest part of an image, and what it is turned into, in the order of `stays`. */
  strips: (PictureSet & { perUnit: number }) | null;
}

export interface TuningData {
  /** One a unit: its largest response to noise, and to any stimulus of all kinds; pre-activations less that to grey. */
  noise: (number | null)[];
  best: (number | null)[];
  curves: TuningCurves[];
}

/** One kind of curve of all units. */
export interface TuningCurves {
  of: string;
  /** What the curves run over, and which of them each unit's runs over; null: it has none. */
  sets: number[][];
  which: (number | null)[];
  /** One a unit: the largest absolute value of its curve. */
  largest: (number | null)[];
  /** base64 of signed bytes (unit, value), the longest of `sets` long: responses in 127ths of `largest`. */
  responses: string;
  preferred: (number | null)[];
  selectivity: (number | null)[];
  /** A letter a unit: c clear, w weak (no more than noise does), n none (not what it answers to), s silent, - unknown. */
  status: string;
}

export interface PerturbationInfo {
  /** Parts of images that counted, each by its strength. */
  crops: number;
  /** Pixels: the diameter of the window that leaves nine tenths. */
  extent: number | null;
  /** Shares of the response that stay: as it is, without colour (null: not applicable), in half of the window, blurred,
   * shuffled, scrambled, and without the tile that costs most (of the part that is shown). */
  stays: (number | null)[];
  superadditivity: number | null;
  participation: number | null;
}

/** Bin i counts values from (first + i) * width up to the next. */
export interface HistogramInfo {
  width: number;
  first: number;
  counts: number[];
}

/** The shard "KEY/means-ID": mean of unit u for label l is offset[u] + scale[u] * v, v being entry u * labels + l.
 * `values`: base64 of little-endian int16; -32768 stands for unknown. */
export interface ClassMeans {
  offset: number[];
  scale: number[];
  values: string;
}

/** One of the list that is the shard "KEY/maps-ID": what every unit of the layer does with one image. */
export interface ActivationMap {
  /** Place in the shard "KEY/map-images". */
  image: number;
  /** Rows and columns of a unit's map, as it is kept. */
  size: Pair;
  /** Top, left, bottom, right of the map on the preprocessed image, in pixels; null: nowhere in particular. */
  box: [number, number, number, number] | null;
  /** One a unit: what the level 127 stands for. */
  scales: (number | null)[];
  /** One a unit: the largest pre-activation of its map. */
  largest: (number | null)[];
  /** Levels (unit, row, column) from -127 to 127: base64 of zlib of bytes, each less the one on its left, modulo 256. */
  values: string;
}

/** The shard "KEY/map-images": those whose activation maps are kept. Picture number: place in the lists. */
export interface MapImages {
  /** Their ids in the atlas. */
  ids: number[];
  sources: string[];
  labels: (string | null)[];
  pictures: PictureSet | null;
}

/** The shard "KEY/images": those in which a unit has a patch. Picture number: place in the lists. */
export interface Images {
  sources: string[];
  labels: (string | null)[];
  pictures: PictureSet | null;
}

/** The shard "KEY/classes". */
export interface Classes {
  classes: ClassInfo[];
  /** Picture number: place in `classes`, where `image` is known. */
  pictures: PictureSet | null;
}

export interface ClassInfo {
  name: string;
  /** Its number among the network's outputs; null: only the images know this class. */
  number: number | null;
  /** Its place in `Manifest.labels`; null: no image is of this class. */
  label: number | null;
  image: { probability: number; logit: number; status: string; steps: number } | null;
  /** [layer id, unit, share of the layer's positive contributions, contribution], strongest first within a layer. */
  contributions: [number, number, number, number][];
  /** [layer id, unit, z]: mean on this class in standard deviations of the unit's class means; strongest first. */
  responses: [number, number, number][];
}

/** The shard "KEY/diagnosis". Layers are given by their id; lists of layers are in execution order. */
export interface Diagnosis {
  /** Worst first; none: nothing was found. */
  verdicts: Verdict[];
  spectra: SpectrumInfo[];
  probes: ProbeInfo[];
  blocks: BlockInfo[];
  relations: RelationInfo[];
  families: FamilyInfo[];
}

/** What all findings of one kind come to. */
export interface Verdict {
  kind: string;
  level: "warning" | "note" | "left out";
  /** One sentence, in English. */
  claim: string;
  /** What is counted, or what the value of its finding is. */
  number: "filters" | "layers" | "share" | "points" | "number" | "none";
  /** The command that tells every finding. */
  command: string;
  findings: FindingInfo[];
}

export interface FindingInfo {
  /** null: the network. */
  layer: number | null;
  /** null: the layer as a whole. */
  unit: number | null;
  value: number | null;
  /** Ends of the 95 % interval; null: exact, or not known. */
  low: number | null;
  high: number | null;
  /** What was measured, on what, and what would overturn it, in English. */
  evidence: string;
}

export interface SpectrumInfo {
  layer: number;
  images: number;
  samples: number;
  width: number;
  live: number;
  mergeable: number;
  /** Directions that make 99 % of the variance, and their 95 % interval. */
  dimension: number;
  low: number | null;
  high: number | null;
  participation: number | null;
  /** So many of the filters give the others back, but for this share. */
  recommended: number;
  error: number | null;
  /** Eigenvalues as shares of the variance, the largest first. */
  shares: (number | null)[];
}

export interface ProbeInfo {
  layer: number;
  of: "validation" | "training";
  classes: number;
  images: number;
  features: number;
  accuracy: number | null;
  low: number | null;
  high: number | null;
}

/** A part that gives what it takes, in size: the change of accuracy without it, and its 95 % interval. */
export interface BlockInfo {
  name: string;
  layers: number[];
  parameters: number;
  influence: number | null;
  similarity: number | null;
  change: number | null;
  low: number | null;
  high: number | null;
}

/** How `unit` is related to `other`, both of one layer; see the atlas's table "relation". */
export interface RelationInfo {
  layer: number;
  unit: number;
  other: number;
  kind: string;
  similarity: number | null;
  scale: number | null;
  angle: number | null;
  mirrored: boolean | null;
  dy: number | null;
  dx: number | null;
  p: number | null;
}

export interface FamilyInfo {
  layer: number;
  /** The first of its members: the others are it, mirrored if so, then turned by their angle, counter-clockwise. */
  unit: number;
  members: { unit: number; angle: number | null; mirrored: boolean }[];
}
