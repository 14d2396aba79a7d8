/** Bring things out of the page: a picture, a table, the view as it stands. */

import css from "../app.css?inline";
import type { PictureSet } from "../data/contract";
import { type Sheets, spot } from "./sheets";

/** Save one picture of a set as PNG, at the size that it has in the report. */
export async function savePicture(sheets: Sheets, set: PictureSet, number: number, file: string): Promise<void> {
  const place = spot(set, number);
  if (!place) return;
  const canvas = document.createElement("canvas");
  canvas.width = place.width;
  canvas.height = place.height;
  const bitmap = await sheets.bitmap(place.sheet);
  canvas
    .getContext("2d")
    ?.drawImage(bitmap, place.left, place.top, place.width, place.height, 0, 0, place.width, place.height);
  download(await png(canvas), `${file}.png`);
}

/** Rows as a CSV file (RFC 4180). */
export function saveTable(head: string[], rows: (string | number | null)[][], file: string): void {
  download(new Blob([csv(head, rows)], { type: "text/csv" }), `${file}.csv`);
}

export function csv(head: string[], rows: (string | number | null)[][]): string {
  return [head, ...rows].map((row) => `${row.map(field).join(",")}\r\n`).join("");
}

function field(value: string | number | null): string {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function download(blob: Blob, file: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = file.replace(/[^\p{L}\p{N}._-]+/gu, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function png(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture could not be made"))), "image/png"),
  );
}

/** Copy a part of the page as a PNG to the clipboard; where that is not allowed, save it. Returns which it was. */
export async function copyView(element: HTMLElement, file: string): Promise<"copied" | "saved"> {
  const blob = await pictureOf(element);
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
    return "copied";
  } catch {
    download(blob, `${file}.png`);
    return "saved";
  }
}

/** Draw a part of the page by way of an SVG that holds a copy of it. */
export async function pictureOf(element: HTMLElement, sharpness = 2): Promise<Blob> {
  const { width, height } = element.getBoundingClientRect();
  const copy = element.cloneNode(true) as HTMLElement;
  const drawn = element.querySelectorAll("canvas");
  copy.querySelectorAll("canvas").forEach((canvas, place) => {
    const original = drawn[place];
    const image = document.createElement("img");
    if (original) image.src = original.toDataURL();
    image.className = canvas.className;
    // Not by setAttribute, which the page's policy forbids.
    image.style.cssText = canvas.style.cssText;
    canvas.replaceWith(image);
  });
  for (const control of copy.querySelectorAll("[data-not-copied]")) control.remove();
  const style = document.createElement("style");
  style.textContent = css;
  const body = document.createElement("div");
  body.className = "copied-view";
  body.dataset["theme"] = getComputedStyle(document.documentElement).colorScheme.includes("dark") ? "dark" : "light";
  body.append(style, copy);
  const markup = new XMLSerializer().serializeToString(body);
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
    `<foreignObject width="100%" height="100%">${markup}</foreignObject></svg>`;
  const image = new Image();
  // A data: URL, not a blob: one: of the latter the canvas could not be read again.
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(width * sharpness);
  canvas.height = Math.ceil(height * sharpness);
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return png(canvas);
}
