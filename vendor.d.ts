// The types of the libraries that the server has under vendor/, which the page imports by address.

declare module '*/vendor/markdown-it/markdown-it.esm.min.mjs' {
  export * from 'markdown-it';
  export { default } from 'markdown-it';
}

declare module '*/vendor/speed-highlight/index.js' {
  export * from '@speed-highlight/core';
}
