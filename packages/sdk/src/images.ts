import { Image, ImageList, type ImageDefinitionInput } from '@thaw/protocol'
import { at, type Call } from './call.js'

export class ImagesClient {
  readonly #call: Call

  constructor(call: Call) {
    this.#call = call
  }

  /** Newest first. */
  async list(): Promise<Image[]> {
    return (await this.#call('GET', '/v1/images', ImageList)).images
  }

  /** By name or id. */
  get(id: string): Promise<Image> {
    return this.#call('GET', `/v1/images/${at(id)}`, Image)
  }

  /** Paths in it are those of the daemon's machine. @throws ThawError NAME_TAKEN, IMAGE_REFUSED */
  create(definition: ImageDefinitionInput, options: { signal?: AbortSignal } = {}): Promise<Image> {
    return this.#call('POST', '/v1/images', Image, { body: definition, ...options })
  }

  remove(id: string): Promise<Image> {
    return this.#call('DELETE', `/v1/images/${at(id)}`, Image)
  }
}
