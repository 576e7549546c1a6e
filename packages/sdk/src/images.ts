import { Image, ImageList, type ImageDefinitionInput, type UploadDefinitionInput } from '@thaw/protocol'
import { at, query, type Call } from './call.js'

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

  /**
   * Sends an archive (tar, OCI layout, or of `docker save`; also compressed) and makes an image of it.
   *
   * @param content in a browser a File or Blob, which is not read into memory
   * @param options.sha256 of the content, in hex: what arrives otherwise is refused
   * @throws ThawError NAME_TAKEN, IMAGE_REFUSED, PAYLOAD_TOO_LARGE
   */
  upload(
    definition: UploadDefinitionInput,
    content: AsyncIterable<Uint8Array> | Blob,
    options: { sha256?: string; signal?: AbortSignal } = {},
  ): Promise<Image> {
    const { sha256, signal } = options
    const path = `/v1/images/archive${query({ definition: JSON.stringify(definition), sha256 })}`
    return this.#call('POST', path, Image, { content, ...(signal === undefined ? {} : { signal }) })
  }

  remove(id: string): Promise<Image> {
    return this.#call('DELETE', `/v1/images/${at(id)}`, Image)
  }
}
