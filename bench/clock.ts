/** Milliseconds since 1970, alike in all processes of a machine and finer than `Date.now`. */
export const wallMs = (): number => performance.timeOrigin + performance.now();
