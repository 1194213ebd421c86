/**
 * What an errand needs of a remote worker, and what such a worker says that it has. Tokens are compared
 * as they are; none has a comma, white space or a control character, so that lists of them can be
 * written and read anywhere.
 */
import * as Schema from "effect/Schema";

const Token = Schema.String.check(
  Schema.isPattern(/^[^\s,\p{C}]+$/u, {
    expected: "a token without commas, white space or control characters",
  }),
);

const mostTokens = 256;
const mostBytes = 4_096;
const utf8 = new TextEncoder();

/** What a worker can do, or what is needed of it. */
export const RemoteCapabilities = Schema.Array(Token).check(
  Schema.makeFilter<ReadonlyArray<string>>(
    (tokens) => tokens.length <= mostTokens && utf8.encode(tokens.join()).length <= mostBytes,
    { expected: `at most ${mostTokens} capabilities, of at most ${mostBytes} bytes together` },
  ),
);

/** A group of workers. */
export const Department = Token.check(Schema.isMaxLength(128));

/** What an errand needs. */
export interface RemoteNeeds {
  readonly capabilities: ReadonlyArray<string>;
  /** Of which department the worker is to be; of any, if left out. */
  readonly department?: string | undefined;
}

/** Whether a worker has all that is needed. */
export const suffices = (needs: RemoteNeeds, worker: RemoteNeeds): boolean =>
  (needs.department === undefined || needs.department === worker.department) &&
  needs.capabilities.every((each) => worker.capabilities.includes(each));

/** What none of these workers has, in words; nothing, if one of them suffices. */
export const lacking = (
  needs: RemoteNeeds,
  workers: ReadonlyArray<RemoteNeeds>,
): string | undefined => {
  if (workers.some((worker) => suffices(needs, worker))) return undefined;
  const { capabilities, department } = needs;
  const inDepartment = workers.filter((worker) =>
    department === undefined || worker.department === department
  );
  const where = department === undefined ? "" : ` of the department ${department}`;
  if (inDepartment.length === 0) return `no remote worker${where} is registered`;
  const missing = capabilities.filter((each) =>
    !inDepartment.some((worker) => worker.capabilities.includes(each))
  );
  return missing.length > 0
    ? `no registered remote worker${where} has the capability ${missing.join(" or ")}`
    : `no registered remote worker${where} has all of the capabilities ${capabilities.join(", ")}`;
};
