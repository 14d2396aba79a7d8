/** Shards that lie beside the page as classic scripts: the only files that a page opened from disk may read. */

import type { Capabilities, DataSource } from "./source";

type Waiting = { resolve: (value: unknown) => void; reject: (reason: Error) => void };

declare global {
  interface Window {
    filterscope?: { deliver: (name: string, value: unknown) => void };
  }
}

export class ScriptShard implements DataSource {
  readonly capabilities: Capabilities = { live: false };
  private readonly waiting = new Map<string, Waiting>();
  private readonly asked = new Map<string, Promise<unknown>>();

  constructor(private readonly root: Document) {
    window.filterscope = { deliver: (name, value) => this.take(name, value) };
  }

  shard<T>(name: string): Promise<T> {
    const known = this.asked.get(name);
    if (known) return known as Promise<T>;
    const file = name.startsWith("sheets/") ? `${name}.js` : `data/${name}.js`;
    const asked = new Promise<unknown>((resolve, reject) => {
      this.waiting.set(name, { resolve, reject });
      const script = this.root.createElement("script");
      script.onload = () => {
        script.remove();
        // A script that has run and brought nothing is damaged.
        this.fail(name, `${file} is damaged; write the report again`);
      };
      script.onerror = () => {
        script.remove();
        this.fail(name, `${file} is missing; keep the whole folder together, or write the report again`);
      };
      script.src = file.split("/").map(encodeURIComponent).join("/");
      this.root.head.append(script);
    });
    this.asked.set(name, asked);
    // A sheet is kept as a decoded picture by those who show it; its text may go.
    const forget = () => this.asked.delete(name);
    if (name.startsWith("sheets/")) asked.then(forget, forget);
    else asked.catch(forget);
    return asked as Promise<T>;
  }

  private take(name: string, value: unknown): void {
    const waiting = this.waiting.get(name);
    waiting?.resolve(value);
    this.waiting.delete(name);
    // The index is named by the page itself, and may arrive before somebody asks for it.
    if (!waiting && !this.asked.has(name)) this.asked.set(name, Promise.resolve(value));
  }

  private fail(name: string, reason: string): void {
    this.waiting.get(name)?.reject(new Error(reason));
    this.waiting.delete(name);
  }
}
