/** Measures one case in a process of its own and sends the result to the process that started it. */
import { groups } from "./groups/index.ts"
import { fullPlan, measure, type Samples, shortPlan } from "./measure.ts"

export type Result =
  | {
    readonly kind: "timed"
    readonly contestants: ReadonlyArray<{ readonly name: string; readonly bare?: string | undefined }>
    readonly samples: Readonly<Record<string, Samples>>
  }
  | { readonly kind: "figures"; readonly figures: Readonly<Record<string, number>> }

const [groupName, caseName, length] = process.argv.slice(2)
const plan = length === "short" ? shortPlan : fullPlan
const found = groups.find(({ name }) => name === groupName)?.cases.find(({ name }) => name === caseName)
if (found === undefined) throw new Error(`There is no case ${groupName}/${caseName}`)

const read = async (): Promise<Result> => {
  if (found.kind === "figures") return { kind: "figures", figures: await found.read(plan) }
  const contestants = await found.contestants()
  return {
    kind: "timed",
    contestants: contestants.map(({ bare, name }) => ({ name, bare })),
    samples: await measure(contestants, plan)
  }
}

process.send!(await read(), () => process.exit(0))
