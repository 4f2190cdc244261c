/**
 * Runs one of several steps of a task, so that an error of one does not stop
 * the others: resuming or interrupting a fiber may run it to its end, and an
 * observer of that end may throw. The error is thrown in a microtask.
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
