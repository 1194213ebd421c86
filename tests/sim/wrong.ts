/** Something that must not be. */
export class Wrong extends Error {}
