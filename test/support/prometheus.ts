/** One line of an exposition. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export type FamilyType = "counter" | "gauge" | "histogram"

/** All samples under one `# TYPE`. */
export interface Family {
  readonly type: FamilyType
  readonly help: string
  readonly samples: ReadonlyArray<Sample>
}

const SUFFIXES = ["_bucket", "_sum", "_count"]

/**
 * Parses the text format, version 0.0.4, more strictly than Prometheus does: each family has one HELP, then one TYPE,
 * then all its samples; no series comes twice; counters are whole and go by `_total`; histograms are cumulative and
 * complete. Throws what is wrong, with the line.
 */
export const parse = (text: string): ReadonlyMap<string, Family> => {
  const families = new Map<string, Family & { readonly samples: Array<Sample> }>()
  const seen = new Set<string>()
  let help: { readonly name: string; readonly text: string } | undefined
  let current: string | undefined
  const wrong = (what: string, line: string): never => {
    throw new Error(`${what}: ${line}`)
  }

  if (!text.endsWith("\n")) wrong("no line feed at the end", text.slice(-80))
  for (const line of text.slice(0, -1).split("\n")) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line)
    if (comment !== null) {
      const [, keyword, name, rest] = comment as unknown as [string, string, string, string]
      if (families.has(name)) wrong("a family comes twice", line)
      if (keyword === "HELP") {
        if (/\\(?![\\n])/.test(rest)) wrong("an unknown escape", line)
        help = { name, text: rest }
        continue
      }
      if (rest !== "counter" && rest !== "gauge" && rest !== "histogram") return wrong("an unknown type", line)
      if (help?.name !== name) return wrong("a type without help", line)
      families.set(name, { type: rest, help: help.text, samples: [] })
      current = name
      continue
    }
    const sample = parseSample(line) ?? wrong("not a sample", line)
    const series = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).toSorted())}`
    if (seen.has(series)) wrong("a series comes twice", line)
    seen.add(series)
    const family = families.get(current ?? "") ?? wrong("a sample without a type", line)
    const names = family.type === "histogram" ? SUFFIXES.map((suffix) => current + suffix) : [current]
    if (!names.includes(sample.name)) wrong(`not of the family ${current}`, line)
    if (family.type === "counter") {
      if (!sample.name.endsWith("_total")) wrong("a counter without _total", line)
      if (!Number.isInteger(sample.value) || sample.value < 0) wrong("a counter that counts no wholes", line)
    }
    family.samples.push(sample)
  }
  for (const [name, { samples, type }] of families) {
    if (samples.length === 0) wrong("a family without samples", name)
    if (type === "histogram") checkHistograms(name, samples)
  }
  return families
}

const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/y

const parseSample = (line: string): Sample | undefined => {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (NaN|[+-]Inf|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/.exec(line)
  if (match === null) return undefined
  const [, name, list = "", number] = match as unknown as [string, string, string | undefined, string]
  const labels: Record<string, string> = {}
  for (let at = 0; at < list.length;) {
    LABEL.lastIndex = at
    const label = LABEL.exec(list)
    if (label === null || Object.hasOwn(labels, label[1]!)) return undefined
    labels[label[1]!] = label[2]!.replace(/\\(.)/g, (_, escaped) => escaped === "n" ? "\n" : escaped)
    at = LABEL.lastIndex
  }
  return { name, labels, value: number.endsWith("Inf") ? Number(number.replace("Inf", "Infinity")) : Number(number) }
}

const checkHistograms = (name: string, samples: ReadonlyArray<Sample>): void => {
  const groups = Map.groupBy(samples, ({ labels }) => JSON.stringify({ ...labels, le: undefined }))
  for (const [labels, group] of groups) {
    const wrong = (what: string): never => {
      throw new Error(`${what}: ${name}${labels}`)
    }
    const one = (suffix: string) => {
      const found = group.filter((sample) => sample.name === name + suffix)
      return found.length === 1 ? found[0]!.value : wrong(`${found.length} of ${suffix}`)
    }
    const count = one("_count")
    const sum = one("_sum")
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`)
    const ends = buckets.map(({ labels: { le } }) => le === "+Inf" ? Infinity : Number(le))
    if (ends.at(-1) !== Infinity) wrong("the last bucket is not +Inf")
    if (ends.some((end, i) => !(i === 0 || end > ends[i - 1]!))) wrong("buckets do not ascend")
    if (buckets.some(({ value }, i) => i > 0 && value < buckets[i - 1]!.value)) wrong("buckets are not cumulative")
    if (buckets.at(-1)!.value !== count) wrong("+Inf is not the count")
    if (!(sum >= 0) || !Number.isFinite(sum)) wrong("the sum is no sum of durations")
  }
}

/** What a query asks for. */
export interface Asked {
  readonly metrics: ReadonlyArray<string>
  /** All labels it names: in matchers, after `by` and the like. */
  readonly labels: ReadonlyArray<string>
  /** What matchers compare a label of a metric with, without what holds a variable. */
  readonly values: ReadonlyArray<{ readonly metric: string; readonly label: string; readonly value: string }>
  /** Labels that its outermost aggregation keeps. */
  readonly kept: ReadonlyArray<string>
}

const TOKEN =
  /\s+|(?<string>"(?:[^"\\]|\\.)*")|(?<variable>\$\{?\w+\}?)|(?<number>[0-9][0-9a-z.]*)|(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?<sign>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){}[\],:@])/y

const GROUPING = new Set(["by", "without", "on", "ignoring", "group_left", "group_right"])
const OPERATORS = new Set(["and", "or", "unless", "bool", "offset", "atan2"])

/** Which metrics and labels a PromQL expression, or a Grafana `label_values(…)`, names. */
export const ask = (query: string): Asked => {
  const tokens: Array<{ readonly kind: string; readonly text: string }> = []
  for (let at = 0; at < query.length;) {
    TOKEN.lastIndex = at
    const match = TOKEN.exec(query)
    if (match === null) throw new Error(`cannot read "${query.slice(at, at + 20)}" in: ${query}`)
    const [kind, text] = Object.entries(match.groups!).find(([, text]) => text !== undefined) ?? []
    if (kind !== undefined && text !== undefined) tokens.push({ kind, text })
    at = TOKEN.lastIndex
  }
  const metrics: Array<string> = []
  const labels: Array<string> = []
  const values: Array<{ metric: string; label: string; value: string }> = []
  let kept: ReadonlyArray<string> | undefined
  const at = (i: number) => tokens[i]?.text ?? ""

  const readList = (from: number): number => {
    const end = tokens.findIndex(({ text }, i) => i > from && text === ")")
    const listed = tokens.slice(from + 1, end).filter(({ text }) => text !== ",").map(({ text }) => text)
    labels.push(...listed)
    if (at(from - 1) === "by") kept ??= listed
    return end
  }
  const readMatchers = (from: number): number => {
    const end = tokens.findIndex(({ text }, i) => i > from && text === "}")
    const own = at(from - 1)
    const matchers = []
    for (let i = from + 1; i < end; i += 4) {
      matchers.push({ label: at(i), alternatives: (JSON.parse(at(i + 2)) as string).split("|") })
    }
    const named = matchers.find(({ label }) => label === "__name__")?.alternatives ?? []
    metrics.push(...named)
    for (const { alternatives, label } of matchers) {
      if (label === "__name__") continue
      labels.push(label)
      for (const value of alternatives.filter((value) => !value.includes("$"))) {
        for (const metric of named.length > 0 ? named : [own]) values.push({ metric, label, value })
      }
    }
    return end
  }

  const isLabelValues = at(0) === "label_values"
  for (let i = 0; i < tokens.length; i++) {
    const { kind, text } = tokens[i]!
    if (text === "{") i = readMatchers(i)
    else if (kind !== "name") continue
    else if (GROUPING.has(text)) i = readList(i + 1)
    else if (isLabelValues && i === tokens.length - 2) labels.push(text)
    else if (at(i + 1) !== "(" && !GROUPING.has(at(i + 1)) && !OPERATORS.has(text)) metrics.push(text)
  }
  return { metrics, labels, values, kept: kept ?? [] }
}
