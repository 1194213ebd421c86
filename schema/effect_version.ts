/**
 * Refuses, at import, an `effect` that this release was not built for: journals and layers rest on
 * modules that change between its minor versions. Every entry point imports this module first, for
 * that effect alone. It does not notice two copies of the right version.
 */
import { getCurrentVersion } from "effect/Version";

/** What the package asks for as its peer. */
export const effectRange = "~4.1.0";

/** Throws unless `version` is within `effectRange`. */
export const requireEffect = (version: string): void => {
  if (/^4\.1\.\d+$/.test(version)) return;
  throw new Error(
    `@weir/weir needs effect ${effectRange}, but effect ${version} is installed. ` +
      `Install the one that fits, and only one: npm install "effect@${effectRange}".`,
  );
};

requireEffect(getCurrentVersion());
