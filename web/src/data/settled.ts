/** What a promise came to, for those who cannot wait: a view whose data are there is drawn at once, not a frame later. */

const values = new WeakMap<Promise<unknown>, { value: unknown }>();

/** Remember what `promise` comes to; returns the promise. */
export function settle<T>(promise: Promise<T>): Promise<T> {
  promise.then(
    (value) => values.set(promise, { value }),
    // Who waits for it is told.
    () => undefined,
  );
  return promise;
}

/** What a promise has come to; undefined: nothing yet, or it failed. */
export function settled<T>(promise: Promise<T>): { value: T } | undefined {
  return values.get(promise) as { value: T } | undefined;
}
