/**
 * Does one of several things that stand in one task. To resume or interrupt a
 * fiber may run it to its end, and an observer of that end may throw: what
 * comes after in the task must not go with it. The error is thrown as it would
 * be from a task of its own.
 */
export const isolated = (f: () => void): void => {
  try {
    f()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
