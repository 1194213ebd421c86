/** What it costs to find who is next, and to take in who leaves, of so many who wait. */
import { Admission } from "../../actors/work/queue/admission.ts";
import { defaultLimits } from "../../schema/queue_limits.ts";

export interface Admitting {
  readonly waiting: number;
  /** Of each round: microseconds for one who is let in, leaves, and is followed by another. */
  readonly micros: Array<number>;
}

const keys = 1_000;
const admissions = 20_000;

const fill = (waiting: number) => {
  const admission = new Admission({ ...defaultLimits, concurrency: 64 });
  let entered = 0;
  const enter = () => {
    const number = entered++;
    admission.enter({
      id: `${number}`,
      tenant: `tenant-${number % 10}`,
      key: `key-${number % keys}`,
      priority: number % 7,
      since: number,
    });
  };
  for (let i = 0; i < waiting; i++) enter();
  return { admission, enter };
};

export const measureAdmission = (
  sizes: ReadonlyArray<number>,
  rounds: number,
): ReadonlyArray<Admitting> => {
  const all = sizes.map((waiting) => ({ waiting, micros: new Array<number>(), ...fill(waiting) }));
  for (let round = 0; round <= rounds; round++) {
    for (const { admission, enter, micros } of all) {
      const begun = performance.now();
      for (let i = 0; i < admissions; i++) {
        const next = admission.admit(0)!;
        admission.leave(next.id);
        enter();
      }
      // The first is for warming up.
      if (round > 0) micros.push((performance.now() - begun) * 1_000 / admissions);
    }
  }
  return all.map(({ waiting, micros }) => ({ waiting, micros }));
};
