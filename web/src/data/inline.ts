/** Shards that lie in the page itself, as blocks of JSON that are parsed when they are asked for. */

import type { Capabilities, DataSource } from "./source";

export class Inline implements DataSource {
  readonly capabilities: Capabilities = { live: false };
  private readonly blocks = new Map<string, Element>();

  constructor(root: Document) {
    for (const block of root.querySelectorAll("script[data-shard]")) {
      this.blocks.set(block.getAttribute("data-shard") ?? "", block);
    }
  }

  static isIn(root: Document): boolean {
    return root.querySelector("script[data-shard]") !== null;
  }

  async shard<T>(name: string): Promise<T> {
    const block = this.blocks.get(name);
    if (!block) throw new Error(`this page holds no '${name}'`);
    return JSON.parse(block.textContent ?? "null") as T;
  }
}
