/**
 * Tier 1: an MCP server, written with the official SDK, over Streamable HTTP
 * with sessions. A session lives in the memory of this process, so it does not
 * survive a restart.
 */
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js"
import { isInitializeRequest } from "@modelcontextprotocol/sdk/types.js"
import { randomUUID } from "node:crypto"
import { text } from "node:stream/consumers"
import { z } from "zod"
import { json, lookUp, serve } from "./serve.ts"

const makeServer = (): McpServer => {
  const server = new McpServer({ name: "crm-mcp", version: "1.0.0" })
  server.registerTool(
    "get_account",
    {
      description: "Looks up a CRM account by its id",
      inputSchema: { id: z.string() },
      outputSchema: {
        account: z.object({ id: z.string(), name: z.string(), owner: z.string(), segment: z.string() }).optional(),
        receipt: z.string()
      }
    },
    async ({ id }) => {
      const { account, receipt } = await lookUp("tier1_mcp", id)
      const structuredContent = { receipt, ...(account === undefined ? {} : { account: { ...account } }) }
      return { structuredContent, content: [{ type: "text", text: JSON.stringify(structuredContent) }] }
    }
  )
  return server
}

const sessions = new Map<string, StreamableHTTPServerTransport>()

const openSession = async (): Promise<StreamableHTTPServerTransport> => {
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    enableJsonResponse: true,
    onsessioninitialized: (id) => void sessions.set(id, transport),
    onsessionclosed: (id) => void sessions.delete(id)
  })
  await makeServer().connect(transport as Parameters<McpServer["connect"]>[0])
  return transport
}

serve(async (request, response) => {
  const body: unknown = request.method === "POST" ? JSON.parse(await text(request)) : undefined
  const id = request.headers["mcp-session-id"]
  if (id === undefined && !isInitializeRequest(body)) return json(response, 400, { error: "no session" })
  const transport = id === undefined ? await openSession() : sessions.get(String(id))
  if (transport === undefined) return json(response, 404, { error: "unknown session" })
  await transport.handleRequest(request, response, body)
})
