/**
 * What is measured: groups of cases. Each case runs in processes of its own, so
 * that neither the heap nor the compiler bears the traces of another.
 */
import type { Contestant, Plan } from "./measure.ts"

/** Contestants that do the same thing, timed against each other. */
export interface TimedCase {
  readonly kind: "timed"
  readonly name: string
  /** What one number is the time of: a call by default. */
  readonly unit?: string | undefined
  readonly contestants: () => Promise<ReadonlyArray<Contestant>>
}

/** Something that is read off once per process: bytes, or the time of an import. */
export interface FigureCase {
  readonly kind: "figures"
  readonly name: string
  readonly unit: "bytes" | "ms" | "ratio" | "µs"
  /** Figures that do not vary from process to process. */
  readonly exact?: boolean | undefined
  readonly read: (plan: Plan) => Promise<Readonly<Record<string, number>>>
}

export type Case = TimedCase | FigureCase

export interface Group {
  readonly name: string
  readonly cases: ReadonlyArray<Case>
}

export const timed = (
  name: string,
  contestants: () => Promise<ReadonlyArray<Contestant>>,
  unit?: string
): TimedCase => ({ kind: "timed", name, contestants, unit })

export const figures = (
  name: string,
  unit: FigureCase["unit"],
  read: FigureCase["read"],
  options: { readonly exact?: boolean } = {}
): FigureCase => ({ kind: "figures", name, unit, read, ...options })

/** Names of contestants that rows and tables refer to. */
export const OURS = "effect-resilience"
export const BARE = "bare Effect"
export const AWAIT = "bare await"
