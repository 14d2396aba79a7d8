/** What every part of the page shares: the atlases, the address, the language. */

import { createContext } from "preact";
import { useContext, useEffect, useMemo, useState } from "preact/hooks";
import type { Atlas } from "../data/atlas";
import { settle, settled } from "../data/settled";
import type { Words } from "../words/en";
import { type Place, type Route, type View, address } from "./route";
import type { Settings } from "./settings";

export interface App {
  atlases: Atlas[];
  atlas: Atlas;
  route: Route;
  settings: Settings;
  words: Words;
  change: (settings: Partial<Settings>) => void;
  /** Marked for comparison. */
  marked: Place[];
  mark: (place: Place) => void;
  say: (message: string) => void;
}

export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error("a view outside of the page");
  return app;
}

export function useWords(): Words {
  return useApp().words;
}

/** Addresses within an atlas; without: the one that is shown. */
export function useAddress(atlas?: Atlas): (view: View, query?: Record<string, string>) => string {
  const { route, atlases } = useApp();
  const number = atlas ? atlases.indexOf(atlas) : route.atlas;
  return (view, query) => address(view, number, query);
}

export function go(to: string): void {
  location.hash = to;
}

/** Change the address without a new entry in the browser's history. */
export function replace(to: string): void {
  history.replaceState(null, "", to);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export type Loaded<T> = { value: T; error: null } | { value: null; error: Error | null };

/** The value of a promise that `load` makes anew whenever one of `keys` changes; at once where it is there already. */
export function useLoaded<T>(load: () => Promise<T> | null, keys: unknown[]): Loaded<T> {
  const asked = useMemo(load, keys);
  const [, draw] = useState(0);
  const [failed, setFailed] = useState<{ asked: Promise<T>; error: Error } | null>(null);
  const known = asked ? settled(asked) : undefined;
  useEffect(() => {
    // It may have come between the drawing and now: then it was not shown.
    if (!asked || known) return;
    let current = true;
    settle(asked).then(
      () => current && draw((count) => count + 1),
      (error: unknown) =>
        current && setFailed({ asked, error: error instanceof Error ? error : new Error(String(error)) }),
    );
    return () => {
      current = false;
    };
  }, [asked]);
  if (known) return { value: known.value, error: null };
  // What went wrong with other keys is not said of these.
  return { value: null, error: failed && failed.asked === asked ? failed.error : null };
}
