/** Types as facts: what does not hold does not compile. Nothing here runs. */

export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2)
  ? true
  : false;

/** Says of a value what its type is, exactly. */
export declare const isExactly: <Expected>() => <Actual>(
  actual: Actual,
  ..._: Equal<Expected, Actual> extends true ? [] : [never]
) => void;
