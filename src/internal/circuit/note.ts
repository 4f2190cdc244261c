import * as Context from "effect/Context"

/** The operator's note for the commands that an effect gives. */
export const CommandNote = /* @__PURE__ */ Context.Reference<string | undefined>("effect-resilience/CommandNote", {
  defaultValue: () => undefined
})
