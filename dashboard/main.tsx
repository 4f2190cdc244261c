import { render } from "preact"
import { Api } from "./api.ts"
import { App } from "./App.tsx"
import { Store } from "./store.ts"

const root = document.getElementById("app")!
const draw = () => render(<App store={store} />, root)
// The page is one of the API's paths, whatever prefix they have.
const store = new Store(new Api(location.pathname.replace(/\/dashboard\/?$/, "")), draw)
draw()
store.start()
