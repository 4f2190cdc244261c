/**
 * Adds to package-lock.json the optional packages of other platforms that the registry in use did not serve. npm leaves
 * them out, and `npm ci` then refuses the lockfile as incomplete. They have no integrity, and no machine but theirs
 * fetches them.
 */
import * as fs from "node:fs"

interface Entry {
  readonly version: string
  readonly dev?: boolean
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const file = new URL("../package-lock.json", import.meta.url)
const lockfile = JSON.parse(fs.readFileSync(file, "utf8"))
const packages: Record<string, object> = lockfile.packages

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"]

const placeholder = (name: string, version: string) => {
  const parts = name.split(/[/-]/)
  const os = systems.filter((system) => parts.includes(system))
  const cpu = parts.find((part) => /^(arm|arm64|ia32|loong64|mips64el|ppc64|riscv64|s390x|x64)$/.test(part))
  const libc = parts.some((part) => part.startsWith("musl"))
    ? ["musl"]
    : parts.some((part) => /^g(nu|libc)/.test(part))
    ? ["glibc"]
    : undefined
  if (os.length === 0 || cpu === undefined) throw new Error(`${name} names no platform`)
  return { version, cpu: [cpu], dev: true, ...(libc && os[0] === "linux" ? { libc } : {}), optional: true, os }
}

let added = 0
for (const entry of Object.values(packages) as ReadonlyArray<Entry>) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (`node_modules/${name}` in packages || !/^\d/.test(version)) continue
    packages[`node_modules/${name}`] = placeholder(name, version)
    added++
  }
}
const [root, ...others] = Object.entries(packages)
lockfile.packages = Object.fromEntries([root!, ...others.toSorted(([a], [b]) => a.localeCompare(b, "en"))])
fs.writeFileSync(file, JSON.stringify(lockfile, null, 2) + "\n")
console.log(`package-lock.json: ${added} packages of other platforms added`)
