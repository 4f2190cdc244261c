import { render } from "preact"
import { Api } from "./api.ts"
import { App } from "./App.tsx"
import { Store } from "./store.ts"

/** Changes may come by the hundred; people read no faster than this, in milliseconds. */
const FRAME = 200

const root = document.getElementById("app")!
let drawnAt = -FRAME
let isDue = false

const draw = () => {
  if (isDue) return
  isDue = true
  // Not with the frames of the browser, which a tab in the background has none of.
  setTimeout(() => {
    isDue = false
    render(<App store={store} />, root)
    drawnAt = performance.now()
  }, Math.max(0, drawnAt + FRAME - performance.now()))
}

// The page is one of the API's paths, whatever prefix they have.
const store = new Store(new Api(location.pathname.replace(/\/dashboard\/?$/, "")), draw)
draw()
store.goToAddress()
store.start()
