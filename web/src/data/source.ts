/** Where the page's data come from. The page asks what a source can do, never which one it is. */

import { Inline } from "./inline";
import { ScriptShard } from "./script_shard";

export interface Capabilities {
  /** New images can be sent through the network. */
  live: boolean;
}

export interface DataSource {
  readonly capabilities: Capabilities;
  /** The value of a shard. Rejects with an Error whose message a reader can understand. */
  shard<T>(name: string): Promise<T>;
}

/** The source that this document was written for. */
export function openSource(root: Document): DataSource {
  return Inline.isIn(root) ? new Inline(root) : new ScriptShard(root);
}
