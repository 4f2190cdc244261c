/** Runs before each test file: it gets modules of this package of its own, where a process runs several files. */
import { vi } from "vitest"

vi.resetModules()
