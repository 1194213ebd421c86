/** The release, as `weir --version` says it; building the package refuses another than its own. */
export const version = "0.1.0";
