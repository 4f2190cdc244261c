/**
 * Reads variables from a `ConfigProvider`: those that are known by name, and
 * those that the provider lists under names like them.
 */
import type * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Str from "effect/String"

/** The text of variables, by names in constant case. */
export type Texts = ReadonlyMap<string, string>

type Path = ConfigProvider.Path

type Load = ConfigProvider.ConfigProvider["load"]

/**
 * Reads the variables of `known`, and all that the provider lists if
 * `isOurs` accepts their first word. Of several sources of one name the first
 * counts, as in `ConfigProvider.orElse`.
 */
export const readAll = Effect.fnUntraced(function*(
  provider: ConfigProvider.ConfigProvider,
  known: ReadonlyArray<string>,
  isOurs: (word: string) => boolean
): Effect.fn.Return<Texts, ConfigProvider.SourceError> {
  const texts = new Map<string, string>()
  for (const source of yield* sourcesOf(provider)) {
    const found = yield* list(source, isOurs)
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
const sourcesOf = Effect.fnUntraced(function*(provider: ConfigProvider.ConfigProvider) {
  // A composite hands a mapping of paths down to its parts, and asks the next part for what the last one does not have.
  let parts = 0
  const probe = provider.mapInput(() => {
    parts++
    return ABSENT
  })
  yield* orAbsent(probe.load([]))
  return Array.from({ length: Math.max(parts, 1) }, (_, index): Source => {
    const loadBy = (map: (path: Path) => Path): Load => (path) =>
      Effect.suspend(() => {
        let part = 0
        return provider.mapInput((mapped) => parts < 2 || part++ === index ? map(mapped) : ABSENT).load(path)
      })
    return { load: loadBy(same), loadWords: loadBy(intoWords) }
  })
})

/** No name has more words, and no source as many beginnings of names. A source may be endless, though. */
const MAX_WORDS = 64
const MAX_NODES = 100_000

/** No more items of arrays are looked at. A word that is a number makes an array of any length. */
const MAX_ITEMS = 10_000

/** Walks what the source lists. One that cannot list has no names. */
const list = Effect.fnUntraced(function*(source: Source, isOurs: (word: string) => boolean) {
  const found = new Map<string, string>()
  let itemsLeft = MAX_ITEMS
  // Under a prefix of several words, such as `nested("ACME_APP")`, the environment lists by single words only.
  const load = (yield* orAbsent(source.load([]))) === undefined ? source.loadWords : source.load
  const pending: Array<{ readonly path: Path; readonly name: string }> = [{ path: [], name: "" }]
  // Grows as it goes.
  for (const { name, path } of pending) {
    const node = yield* orAbsent(load(path))
    if (node?.value !== undefined && name !== "" && !found.has(name)) found.set(name, node.value)
    if (path.length === MAX_WORDS || pending.length > MAX_NODES) continue
    const children = childrenOf(node, itemsLeft)
    if (node?._tag === "Array") itemsLeft -= children.length
    for (const child of children) {
      const words = Str.configCase(String(child))
      if (path.length > 0) {
        pending.push({ path: [...path, child], name: words === "" ? name : `${name}_${words}` })
      } else if (isOurs(words.split("_", 1)[0]!)) {
        pending.push({ path: [child], name: words })
      }
    }
  }
  return found
})

/** A source that fails does so again when the known variables are read. */
const orAbsent = <A, E>(self: Effect.Effect<A | undefined, E>): Effect.Effect<A | undefined> =>
  Effect.catch(self, () => Effect.undefined)

const childrenOf = (node: ConfigProvider.Node | undefined, maxItems: number): ReadonlyArray<string | number> => {
  switch (node?._tag) {
    case "Record":
      return Array.from(node.keys)
    case "Array":
      return Array.from({ length: Math.min(node.length, maxItems) }, (_, index) => index)
    default:
      return []
  }
}
