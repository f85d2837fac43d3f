/** What `exportData` can write. Loads nothing, for the command line. */

export const EXPORT_FORMATS = ["csv", "parquet", "tensorboard", "npz"] as const;

/** What `exportData` can write. */
export type ExportFormat = (typeof EXPORT_FORMATS)[number];
