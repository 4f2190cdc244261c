import * as fs from "node:fs"

/** Adds a line to the summary of `.ci/run`, where that runs. A step whose note begins with NOT CHECKED is not ok there. */
export const note = (text: string): void => {
  const file = process.env["CI_NOTES"]
  if (file !== undefined) fs.appendFileSync(file, `${text}\n`)
}
