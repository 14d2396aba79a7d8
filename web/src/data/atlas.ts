/** One atlas as the views read it: its manifest, and its shards, each asked for once. */

import type {
  ActivationMap,
  Behaviour,
  ClassInfo,
  ClassMeans,
  Classes,
  Diagnosis,
  Images,
  LayerData,
  LayerInfo,
  Manifest,
  MapImages,
} from "./contract";
import { unpacked } from "./maps";
import { settle } from "./settled";
import type { DataSource } from "./source";

/** Layers whose activation maps are kept unpacked: the one that is shown, and what the keys lead to. */
const UNPACKED_LAYERS = 4;

export class Atlas {
  private readonly shards = new Map<string, Promise<unknown>>();
  private readonly levelsOf = new Map<LayerInfo, Map<ActivationMap, Promise<Int8Array>>>();
  private readonly byName = new Map<string, LayerInfo>();

  constructor(
    readonly manifest: Manifest,
    readonly source: DataSource,
  ) {
    for (const layer of manifest.layers) this.byName.set(layer.name, layer);
  }

  get key(): string {
    return this.manifest.key;
  }

  layerNamed(name: string): LayerInfo | undefined {
    return this.byName.get(name);
  }

  /** The layer that comes `step` layers after `layer`, if there is one. */
  neighbour(layer: LayerInfo, step: number): LayerInfo | undefined {
    return this.manifest.layers[this.manifest.layers.indexOf(layer) + step];
  }

  layer(layer: LayerInfo): Promise<LayerData> {
    return this.once(`layer-${padded(layer.id)}`);
  }

  means(layer: LayerInfo): Promise<ClassMeans> {
    return this.once(`means-${padded(layer.id)}`);
  }

  /** What the layer's units answer to. */
  behaviour(layer: LayerInfo): Promise<Behaviour> {
    return this.once(`behaviour-${padded(layer.id)}`);
  }

  images(): Promise<Images> {
    return this.once("images");
  }

  classes(): Promise<Classes> {
    return this.once<Classes>("classes", (shard) => ({ ...shard, classes: distinct(shard.classes) }));
  }

  diagnosis(): Promise<Diagnosis> {
    return this.once("diagnosis");
  }

  mapImages(): Promise<MapImages> {
    return this.once("map-images");
  }

  /** What the layer does with each of some images, packed. */
  maps(layer: LayerInfo): Promise<ActivationMap[]> {
    return this.once(`maps-${padded(layer.id)}`);
  }

  /** The levels of one of the layer's maps, of all units. */
  levels(layer: LayerInfo, map: ActivationMap): Promise<Int8Array> {
    const known = this.levelsOf.get(layer) ?? new Map<ActivationMap, Promise<Int8Array>>();
    // Maps keep their order: the first is the one that was used longest ago.
    this.levelsOf.delete(layer);
    this.levelsOf.set(layer, known);
    if (this.levelsOf.size > UNPACKED_LAYERS) this.levelsOf.delete(this.levelsOf.keys().next().value as LayerInfo);
    let asked = known.get(map);
    if (!asked) {
      asked = settle(unpacked(map));
      known.set(map, asked);
    }
    return asked;
  }

  private once<T>(name: string, read = (shard: T): T => shard): Promise<T> {
    let asked = this.shards.get(name);
    if (!asked) {
      asked = settle(this.source.shard<T>(`${this.key}/${name}`).then(read));
      this.shards.set(name, asked);
      asked.catch(() => this.shards.delete(name));
    }
    return asked as Promise<T>;
  }
}

/** ImageNet has two classes 'crane' and two 'maillot': the address of a class is its name, so each gets its own. */
function distinct(classes: ClassInfo[]): ClassInfo[] {
  const known = new Set<string>();
  return classes.map((info, place) => {
    const name = known.has(info.name) ? `${info.name} (${info.number ?? place})` : info.name;
    known.add(name);
    return name === info.name ? info : { ...info, name };
  });
}

function padded(id: number): string {
  return String(id).padStart(3, "0");
}

/** The mean activation of one unit for every label, NaN where it is unknown. */
export function classMeans(means: ClassMeans, place: number, labels: number): number[] {
  // Four letters are three bytes: of a thousand classes by hundreds of units only this unit's letters are decoded.
  const first = Math.floor((2 * place * labels) / 3);
  const text = atob(means.values.slice(4 * first, 4 * Math.ceil((2 * (place + 1) * labels) / 3)));
  const byte = (number: number) => text.charCodeAt(number - 3 * first);
  const offset = means.offset[place] ?? 0;
  const scale = means.scale[place] ?? 0;
  return Array.from({ length: labels }, (_, label) => {
    const at = 2 * (place * labels + label);
    const value = ((byte(at) | (byte(at + 1) << 8)) << 16) >> 16;
    return value === -32768 ? Number.NaN : offset + scale * value;
  });
}
