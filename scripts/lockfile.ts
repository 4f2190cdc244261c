/**
 * Fails on packages of package-lock.json that npm cannot verify. Those of other platforms that the registry did not serve,
 * which `npm run lockfile` adds, are only said: nothing fetches them here.
 */
import * as fs from "node:fs"
import { note } from "./note.ts"

export interface Package {
  readonly link?: boolean
  readonly integrity?: string
  readonly resolved?: string
  readonly optional?: boolean
  readonly os?: ReadonlyArray<string>
  readonly cpu?: ReadonlyArray<string>
}

const isOfAnotherPlatform = ({ cpu, optional, os }: Package): boolean =>
  optional === true && os !== undefined && cpu !== undefined && !(os.includes("linux") && cpu.includes("x64"))

/** The packages without integrity: those that are wrong, and those that no machine like that of CI fetches. */
export const unverified = (packages: Readonly<Record<string, Package>>) => {
  const without = Object.entries(packages).filter(([name, { integrity, link }]) =>
    name.includes("node_modules/") && link !== true && integrity === undefined
  )
  return {
    wrong: without.filter(([, entry]) => !isOfAnotherPlatform(entry) || entry.resolved !== undefined).map(([name]) =>
      name
    ),
    elsewhere: without.filter(([, entry]) => isOfAnotherPlatform(entry) && entry.resolved === undefined)
      .map(([name]) => name)
  }
}

if (import.meta.main) {
  const { packages } = JSON.parse(fs.readFileSync(new URL("../package-lock.json", import.meta.url), "utf8"))
  const { elsewhere, wrong } = unverified(packages)
  for (const name of wrong) console.error(`package-lock.json: ${name} has no integrity`)
  const rest = `${elsewhere.length} packages of other platforms have no integrity, as the registry did not serve them`
  console.log(`lockfile: ${Object.keys(packages).length} packages${elsewhere.length === 0 ? "" : `; ${rest}`}`)
  if (elsewhere.length > 0) note(rest)
  if (wrong.length > 0) process.exitCode = 1
}
