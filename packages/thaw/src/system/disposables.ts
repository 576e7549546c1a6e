type Cleanup = () => unknown

/**
 * Cleanups, run last first. What is added after the end is disposed at once: a resource that arrives late is not
 * left behind. A cleanup that throws does not keep the others from running; the first error is thrown at the end.
 */
export class Disposables implements AsyncDisposable {
  #cleanups: Cleanup[] = []
  #ended = false

  /** Adds a cleanup. Returns a function that takes it out again without running it. */
  add(cleanup: Cleanup): () => void {
    if (this.#ended) {
      void Promise.resolve().then(cleanup)
      return () => {}
    }
    this.#cleanups.push(cleanup)
    return () => {
      const at = this.#cleanups.indexOf(cleanup)
      if (at >= 0) this.#cleanups.splice(at, 1)
    }
  }

  /** Adds a disposable, and returns it. */
  use<T extends AsyncDisposable | Disposable>(resource: T): T {
    this.add(() =>
      Symbol.asyncDispose in resource ? resource[Symbol.asyncDispose]() : resource[Symbol.dispose](),
    )
    return resource
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    let failed: { error: unknown } | undefined
    for (let cleanup = this.#cleanups.pop(); cleanup !== undefined; cleanup = this.#cleanups.pop()) {
      try {
        await cleanup()
      } catch (error) {
        failed ??= { error }
      }
    }
    if (failed !== undefined) throw failed.error
  }
}
