// What the playground's bundle is made of: the unmodified MSAL JS, and which version of it.
export { CustomAuthPublicClientApplication } from "@azure/msal-browser/custom-auth";
export const version = MSAL_VERSION;
