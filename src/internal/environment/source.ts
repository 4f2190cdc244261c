/**
 * Reads variables from a `ConfigProvider`: those that are known by name, and
 * those that the provider lists under names like them.
 */
import type * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Str from "effect/String"

/** The text of variables, by names in constant case. */
export type Texts = ReadonlyMap<string, string>

type Path = ConfigProvider.Path

type Load = ConfigProvider.ConfigProvider["load"]

/**
 * Reads the variables of `known`, and all that the provider lists if
 * `isOurs` accepts their first word. Words may be numbers where that is likely. Of several sources of one name the first
 * counts, as in `ConfigProvider.orElse`.
 */
export const readAll = /* @__PURE__ */ Effect.fnUntraced(function*(
  provider: ConfigProvider.ConfigProvider,
  known: ReadonlyArray<string>,
  isOurs: (word: string) => boolean,
  mayHaveNumbers: (word: string) => boolean = () => false
): Effect.fn.Return<Texts, ConfigProvider.SourceError> {
  const texts = new Map<string, string>()
  for (const source of yield* sourcesOf(provider)) {
    const found = yield* list(source, isOurs, mayHaveNumbers)
    for (const name of known) {
      const node = yield* source.load([name])
      if (node?.value !== undefined) found.set(name, node.value)
    }
    for (const [name, text] of found) {
      if (!texts.has(name)) texts.set(name, text)
    }
  }
  return texts
})

interface Source {
  readonly load: Load
  /** Loads by paths of single words. */
  readonly loadWords: Load
}

const ABSENT: Path = ["effect-resilience", "no such path"]

const same = (path: Path): Path => path

const intoWords = (path: Path): Path =>
  path.flatMap((segment): Path => typeof segment === "string" ? segment.split("_") : [segment])

/**
 * The sources that `ConfigProvider.orElse` put one behind the other, first one
 * first. Taken together they would list the names of the first one only.
 */
const sourcesOf = /* @__PURE__ */ Effect.fnUntraced(function*(provider: ConfigProvider.ConfigProvider) {
  // A composite hands a mapping of paths down to its parts, and asks the next part for what the last one does not have.
  let parts = 0
  const probe = provider.mapInput(() => {
    parts++
    return ABSENT
  })
  yield* orAbsent(probe.load([]))
  if (parts < 2) return [{ load: provider.load, loadWords: provider.mapInput(intoWords).load }]
  return Array.from({ length: parts }, (_, index): Source => {
    const loadBy = (map: (path: Path) => Path): Load => (path) =>
      Effect.suspend(() => {
        let part = 0
        return provider.mapInput((mapped) => part++ === index ? map(mapped) : ABSENT).load(path)
      })
    return { load: loadBy(same), loadWords: loadBy(intoWords) }
  })
})

/** No name has more words, and no source as many beginnings of names. A source may be endless, though. */
const MAX_WORDS = 64
const MAX_NODES = 100_000

interface Place {
  readonly path: Path
  readonly name: string
  readonly node: ConfigProvider.Node | undefined
}

const wordsOf = (segment: string | number): string => Str.configCase(String(segment))

/** Walks what the source lists. One that cannot list has no names. */
const list = /* @__PURE__ */ Effect.fnUntraced(function*(
  source: Source,
  isOurs: (word: string) => boolean,
  mayHaveNumbers: (word: string) => boolean
) {
  const found = new Map<string, string>()
  const root = yield* orAbsent(source.load([]))
  // Under a prefix of several words, such as `nested("ACME_APP")`, the environment lists by single words only.
  const load = root === undefined ? source.loadWords : source.load
  const start: Place = { path: [], name: "", node: root ?? (yield* orAbsent(load([]))) }
  const pending = [start]
  let probes = MAX_PROBES
  // Grows as it goes.
  for (const { name, node, path } of pending) {
    if (node?.value !== undefined && name !== "" && !found.has(name)) found.set(name, node.value)
    if (path.length === MAX_WORDS || pending.length > MAX_NODES) continue
    const children = childrenOf(node, path, mayHaveNumbers(name.split("_", 1)[0]!) ? Math.max(probes, 1) : 1)
    if (node?._tag === "Array") probes -= Math.min(probes, children.length)
    for (const child of children) {
      if (path.length === 0 && !isOurs(wordsOf(child).split("_", 1)[0]!)) continue
      const childPath = [...path, child]
      const loading = load(childPath)
      // Most items of an array are not there, so that they must not cost more than this.
      if (Exit.isExit(loading) && Exit.isSuccess(loading) && loading.value === undefined) continue
      const childNode = yield* orAbsent(loading)
      if (childNode === undefined) continue
      const words = wordsOf(child)
      const childName = path.length === 0 ? words : words === "" ? name : `${name}_${words}`
      pending.push({ path: childPath, name: childName, node: childNode })
    }
  }
  return found
})

/** A source that fails does so again when the known variables are read. */
const orAbsent = <A, E>(self: Effect.Effect<A | undefined, E>): Effect.Effect<A | undefined> =>
  Effect.catch(self, () => Effect.undefined)

const childrenOf = (
  node: ConfigProvider.Node | undefined,
  path: Path,
  probes: number
): ReadonlyArray<string | number> => {
  switch (node?._tag) {
    case "Record":
      return Array.from(node.keys)
    case "Array":
      return itemsOf(node.length, path, probes)
    default:
      return []
  }
}

/** As many items of arrays are looked for in all. */
const MAX_PROBES = 20_000

/**
 * The environment makes an array of words that are all numbers, as in
 * `CB_TENANT_7_…` and `CB_TENANT_123456_…`, but does not say which items there
 * are, except for the last one. So the numbers that the process environment has
 * in that place are looked for, then the highest and the lowest ones.
 */
const itemsOf = (length: number, path: Path, probes: number): ReadonlyArray<number> => {
  const items = new Set<number>()
  const prefix = `_${path.join("_")}_`
  for (const name of Object.keys(processEnv())) {
    const at = `_${name}`.indexOf(prefix)
    const item = at < 0 ? NaN : Number(name.slice(at + prefix.length - 1).split("_", 1)[0])
    if (item < length) items.add(item)
  }
  const highest = Math.max(0, length - Math.ceil(probes / 4))
  for (let item = length - 1; item >= highest; item--) items.add(item)
  for (let item = 0; item < highest && items.size < probes; item++) items.add(item)
  return Array.from(items)
}

const processEnv = (): Readonly<Record<string, unknown>> =>
  (globalThis as { readonly process?: { readonly env?: Readonly<Record<string, unknown>> } }).process?.env ?? {}
