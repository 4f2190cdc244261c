/** An item of a queue. It holds its own place, so that removing it from the middle takes no search. */
export interface Linked<T> {
  previous: T | undefined
  next: T | undefined
}

/** Items in order of arrival. */
export class LinkedQueue<T extends Linked<T>> {
  first: T | undefined = undefined
  private last: T | undefined = undefined

  append(item: T): void {
    item.previous = this.last
    if (this.last === undefined) this.first = item
    else this.last.next = item
    this.last = item
  }

  /** Removes an item that is in the queue. */
  remove(item: T): void {
    if (item.previous === undefined) this.first = item.next
    else item.previous.next = item.next
    if (item.next === undefined) this.last = item.previous
    else item.next.previous = item.previous
    item.previous = item.next = undefined
  }
}
