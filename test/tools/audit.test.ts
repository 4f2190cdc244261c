import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as os from "node:os"
import * as path from "node:path"

interface Registry {
  /** What is posted to its audit endpoint gets this status, and this body. */
  readonly status: number
  readonly advisories?: object
  /** Where `.ci/run` collects what its summary says. */
  readonly notes?: string
  /** What there is to know about packages. */
  readonly packages?: Readonly<Record<string, object>>
}

const serve = ({ advisories, packages = {}, status }: Registry): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() =>
        new Promise<http.Server>((resolve) => {
          const server = http.createServer((request, response) => {
            request.resume()
            const known = packages[request.url!.slice(1)]
            const [code, body] = request.method === "POST" ? [status, advisories] : [known ? 200 : 404, known]
            response.writeHead(code!, { "content-type": "application/json" }).end(JSON.stringify(body ?? {}))
          })
          server.listen(0, "127.0.0.1", () => resolve(server))
        })
      ),
      (server) =>
        Effect.sync(() => {
          server.close()
          server.closeAllConnections()
        })
    ),
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  )

const audit = (registry: Registry) =>
  Effect.flatMap(
    serve(registry),
    (url) =>
      Effect.promise(() =>
        new Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>((resolve) => {
          const env = {
            ...process.env,
            npm_config_registry: url,
            npm_config_fetch_retries: "0",
            CI_NOTES: registry.notes
          }
          const script = path.resolve(import.meta.dirname, "../../scripts/audit.ts")
          const child = execFile(process.execPath, [script], { env }, (_, stdout, stderr) =>
            resolve({ code: child.exitCode!, stdout, stderr }))
        })
      )
  )

describe("npm run audit", () => {
  it.live("passes where nothing is known against a package", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* audit({ status: 200, advisories: {} })

      assert.strictEqual(code, 0)
      assert.match(stdout, /^audit: \d{2,} packages, 0 with known vulnerabilities$/m)
    }), 60_000)

  it.live("fails on a vulnerability of the lowest severity, and names it", () =>
    Effect.gen(function*() {
      const advisory = {
        id: 1,
        title: "a hole",
        url: "https://example.com/1",
        severity: "info",
        vulnerable_versions: "*"
      }
      const { code, stderr, stdout } = yield* audit({
        status: 200,
        advisories: { cockatiel: [advisory] },
        packages: { cockatiel: { name: "cockatiel", versions: { "4.0.0": { name: "cockatiel", version: "4.0.0" } } } }
      })

      assert.strictEqual(code, 1)
      assert.include(stderr, "audit: info: cockatiel *: a hole https://example.com/1")
      assert.match(stdout, /^audit: \d{2,} packages, 1 with known vulnerabilities$/m)
    }), 60_000)

  for (const status of [404, 405, 501]) {
    it.live(
      `passes, and says that nothing was checked, where the registry answers ${status}`,
      () =>
        Effect.gen(function*() {
          const notes = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "audit-")), "notes")
          const { code, stdout } = yield* audit({ status, notes })

          assert.strictEqual(code, 0)
          assert.match(fs.readFileSync(notes, "utf8"), /^NOT CHECKED: the registry has no audit endpoint \(/)
          assert.match(
            stdout,
            new RegExp(`^audit: NOT CHECKED, the registry has no audit endpoint \\(${status} .*\\)\n$`)
          )
        }),
      60_000
    )
  }

  it.live("fails where the registry fails", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* audit({ status: 500 })

      assert.strictEqual(code, 1)
      assert.include(stderr, "audit: failed: 500 ")
      assert.strictEqual(stdout, "")
    }), 60_000)
})
