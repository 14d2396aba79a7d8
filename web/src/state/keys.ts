/** The keyboard: one listener, and what each key does in the view that is shown. */

import { useEffect } from "preact/hooks";

export type Keys = Record<string, (event: KeyboardEvent) => void>;

const layers: Keys[] = [];

/** Give keys a meaning while the calling view is shown; the latest one to do so goes first. */
export function useKeys(keys: Keys, dependencies: unknown[]): void {
  useEffect(() => {
    layers.push(keys);
    return () => {
      layers.splice(layers.indexOf(keys), 1);
    };
  }, dependencies);
}

/** `j k l i` move like the arrows, as in the deep visualization toolbox. */
const ALIAS: Record<string, string> = { j: "ArrowLeft", l: "ArrowRight", i: "ArrowUp", k: "ArrowDown" };

export function listen(): () => void {
  const hear = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key !== "Escape" && takesText(event.target)) return;
    const key = ALIAS[event.key] ?? event.key;
    for (const keys of [...layers].reverse()) {
      const action = keys[key];
      if (!action) continue;
      event.preventDefault();
      action(event);
      return;
    }
    if (key.startsWith("Arrow") && !isAdjusted(event.target) && moveFocus(key)) event.preventDefault();
  };
  addEventListener("keydown", hear);
  return () => removeEventListener("keydown", hear);
}

function takesText(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.matches("input, textarea, select") || target.isContentEditable);
}

function isAdjusted(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("[role=radiogroup], select, input") !== null;
}

/** Put the focus on the nearest item that lies in the arrow's direction; false: there is none. */
export function moveFocus(arrow: string): boolean {
  const items = [...document.querySelectorAll<HTMLElement>("main [data-item]")];
  const from = items.find((item) => item === document.activeElement);
  if (!from) {
    const first = items.find((item) => item.getBoundingClientRect().top >= 0) ?? items[0];
    first?.focus();
    return first !== undefined;
  }
  const next = nearest(
    from.getBoundingClientRect(),
    items.filter((item) => item !== from).map((item) => ({ item, box: item.getBoundingClientRect() })),
    arrow,
  );
  next?.focus();
  next?.scrollIntoView({ block: "nearest", inline: "nearest" });
  return next !== null;
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/**
 * The item whose box lies next in a direction. What overlaps in that direction goes first, however its middle lies:
 * columns differ in height. Elsewhere the distance across counts three times that along.
 */
export function nearest<T>(from: Box, others: { item: T; box: Box }[], arrow: string): T | null {
  const [x, y] = [(from.left + from.right) / 2, (from.top + from.bottom) / 2];
  let best: T | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const { item, box } of others) {
    const [dx, dy] = [(box.left + box.right) / 2 - x, (box.top + box.bottom) / 2 - y];
    const sideways = arrow === "ArrowLeft" || arrow === "ArrowRight";
    const along = (sideways ? dx : dy) * (arrow === "ArrowLeft" || arrow === "ArrowUp" ? -1 : 1);
    // Boxes of one row may differ a little in height; what lies a pixel ahead is not ahead.
    if (along <= 2) continue;
    const overlaps = sideways ? box.bottom > from.top && box.top < from.bottom : box.right > from.left && box.left < from.right;
    const across = Math.abs(sideways ? dy : dx);
    const far = along + (overlaps ? 0.3 * across : 3 * across + 1000);
    if (far < least) [least, best] = [far, item];
  }
  return best;
}
