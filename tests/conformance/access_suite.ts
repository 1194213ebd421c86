/** The contract of tenants, grants and ledgers, as it must be kept on every log. */
import { grantsSuite } from "./access/grants.ts";
import { ledgersSuite } from "./access/ledgers.ts";
import type { Services } from "./access/matter.ts";
import { rightsSuite } from "./access/rights.ts";
import { tenantsSuite } from "./access/tenants.ts";
import type { Run } from "./subject_matter.ts";

export const accessSuite = (name: string, run: Run<Services>): void => {
  tenantsSuite(name, run);
  grantsSuite(name, run);
  rightsSuite(name, run);
  ledgersSuite(name, run);
};
