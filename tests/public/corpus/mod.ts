/** Every program of the corpus. */
import { cancelling } from "./cancelling.ts";
import { children } from "./children.ts";
import { failures } from "./failures.ts";
import type { Program } from "./program.ts";
import { sequences } from "./sequences.ts";
import { together } from "./together.ts";
import { valuesOfAllKinds } from "./values.ts";
import { waiting } from "./waiting.ts";

export const corpus: ReadonlyArray<Program> = [
  ...sequences,
  ...together,
  ...waiting,
  ...children,
  ...failures,
  ...cancelling,
  ...valuesOfAllKinds,
];
