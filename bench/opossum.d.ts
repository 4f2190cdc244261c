declare module "opossum" {
  export default class CircuitBreaker<Args extends ReadonlyArray<unknown>, A> {
    constructor(action: (...args: Args) => Promise<A>, options?: {
      readonly timeout?: number | false
      readonly resetTimeout?: number
      readonly errorThresholdPercentage?: number
      readonly volumeThreshold?: number
      readonly rollingCountTimeout?: number
      readonly rollingCountBuckets?: number
      readonly rollingPercentilesEnabled?: boolean
      readonly name?: string
    })
    fire(...args: Args): Promise<A>
    open(): void
    shutdown(): void
  }
}
