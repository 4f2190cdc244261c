/**
 * @stability unstable
 * @since 0.1.0
 */
export * as Admin from "./Admin.ts"
export * as AdminApi from "./AdminApi.ts"
