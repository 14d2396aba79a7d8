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
  /** The layer's own shard is `KEY/layer-ID`, its class means `KEY/means-ID`. */
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
  hasMeans: boolean;
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
