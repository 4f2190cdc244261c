/**
 * Fails on a known vulnerability of any severity in what the lockfile installs. A registry that does not offer audits, as
 * most mirrors do not, is no vulnerability: that is said, and passes.
 */
import { spawnSync } from "node:child_process"
import { note } from "./note.ts"

interface Answer {
  readonly statusCode?: number
  readonly message?: string
  readonly vulnerabilities?: Readonly<
    Record<string, {
      readonly severity: string
      readonly range: string
      readonly via: ReadonlyArray<string | { readonly title: string; readonly url: string }>
    }>
  >
  readonly metadata?: { readonly dependencies: { readonly total: number } }
}

const { status, stderr, stdout } = spawnSync("npm", ["audit", "--json", "--audit-level=info"], { encoding: "utf8" })
if (stdout === "") throw new Error(`npm audit said nothing: ${stderr}`)
const answer: Answer = JSON.parse(stdout)

if (answer.statusCode !== undefined && [404, 405, 501].includes(answer.statusCode)) {
  const why = `the registry has no audit endpoint (${answer.message})`
  console.log(`audit: NOT CHECKED, ${why}`)
  note(`NOT CHECKED: ${why}`)
} else if (answer.vulnerabilities === undefined) {
  console.error(`audit: failed: ${answer.message ?? stdout}`)
  process.exitCode = 1
} else {
  for (const [name, { range, severity, via }] of Object.entries(answer.vulnerabilities)) {
    const why = via.map((cause) => typeof cause === "string" ? `by ${cause}` : `${cause.title} ${cause.url}`)
    console.error(`audit: ${severity}: ${name} ${range}: ${why.join("; ")}`)
  }
  const found = Object.keys(answer.vulnerabilities).length
  console.log(`audit: ${answer.metadata?.dependencies.total} packages, ${found} with known vulnerabilities`)
  process.exitCode = found > 0 || status !== 0 ? 1 : 0
}
