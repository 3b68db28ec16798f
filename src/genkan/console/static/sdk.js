// The app on MSAL JS. What the SDK returns becomes what the screens know: an `ask`, a session, or a failure.
//
// An outcome is one of
//   { ask: "code" | "password" | "new-password" | "attributes" | "method" | "enrol", … }
//   { session }   { browser: reason }   { failure: { error, suberror, codes, description, over } }

import { version, CustomAuthPublicClientApplication } from "./msal.js";

export { version };

/** `configuration`: { authority, clientId, challengeTypes, capabilities, scopes, claims }. */
export async function create({ authority, clientId, challengeTypes, capabilities, scopes, claims }) {
  const secure = new URL(authority, location.href);
  secure.protocol = "https:"; // the SDK wants it so, and never contacts it
  const app = await CustomAuthPublicClientApplication.create({
    auth: { clientId, authority: secure.href, redirectUri: "/" },
    cache: { cacheLocation: "sessionStorage" },
    customAuth: { challengeTypes, capabilities, authApiProxyUrl: new URL(authority, location.href).href },
  });

  const failed = (error) => {
    if (error.isRedirectRequired?.()) return { browser: error.errorData.redirectReason ?? error.errorData.errorDescription };
    const { error: word, subError, errorCodes, errorDescription } = error.errorData;
    return { failure: { error: word, suberror: subError, codes: errorCodes, description: errorDescription } };
  };
  const shown = (method) => ({ id: method.id, channel: method.challenge_channel, hint: method.login_hint, method });

  /** A code that was sent: how to hand it in, and how to have it sent again. */
  function code(state, to, submit, again) {
    return {
      ask: "code",
      to: state.getSentTo?.() ?? to,
      channel: state.getChannel?.() ?? "email",
      length: state.getCodeLength(),
      submit: async (text) => next(await submit(text), to),
      again: again && (async () => next(await again(), to)),
    };
  }

  /** What the app must do next, from any result of the SDK. */
  async function next(result, username) {
    const { state } = result;
    if (result.isFailed()) return failed(result.error);
    if (result.isAuthMethodRegistrationRequired?.()) {
      return {
        ask: "enrol",
        methods: state.getAuthMethods().map(shown),
        choose: async (method, contact) => registered(await register(state, method, contact), method, contact, username),
      };
    }
    if (result.isMfaRequired?.()) {
      return {
        ask: "method",
        methods: state.getAuthMethods().map(shown),
        choose: async (method) => secondFactor(await state.requestChallenge(method.id), method, username),
      };
    }
    if (result.isAttributesRequired?.()) {
      return {
        ask: "attributes",
        attributes: state.getRequiredAttributes(),
        submit: async (values) => next(await state.submitAttributes(values), username),
      };
    }
    if (result.isCodeRequired?.()) {
      return code(state, username, (text) => state.submitCode(text), () => state.resendCode());
    }
    if (result.isPasswordRequired?.()) {
      if (state.submitNewPassword) {
        return { ask: "new-password", submit: async (text) => next(await state.submitNewPassword(text), username) };
      }
      return {
        ask: state.stateType.startsWith("SignUp") ? "new-password" : "password",
        submit: async (text) => next(await state.submitPassword(text), username),
      };
    }
    if (state.signIn) return next(await state.signIn({ scopes, claims }), username); // the account, or the new password, is there
    return { session: await session(result.data) };
  }

  const register = (state, { method }, contact) => state.challengeAuthMethod({ authMethodType: method, verificationContact: contact });

  async function registered(result, method, contact, username) {
    if (result.isFailed()) return failed(result.error);
    if (!result.isVerificationRequired()) return next(result, username);
    const { state } = result;
    const again = async () => registered(await register(state, method, contact), method, contact, username);
    return { ...code(state, username, (text) => state.submitChallenge(text)), again };
  }

  async function secondFactor(result, method, username) {
    if (result.isFailed()) return failed(result.error);
    const { state } = result;
    const again = async () => secondFactor(await state.requestChallenge(method.id), method, username);
    return { ...code(state, username, (text) => state.submitChallenge(text)), again };
  }

  async function session(account) {
    const cached = await account.getAccessToken({ forceRefresh: false, scopes });
    return signedIn(account, cached);
  }

  function signedIn(account, result) {
    const again = (forceRefresh) => async (asked, claims) => {
      const got = await account.getAccessToken({ forceRefresh, scopes: asked, claims });
      return got.isFailed() ? failed(got.error) : { session: signedIn(account, got) };
    };
    return {
      idToken: account.getIdToken(),
      accessToken: result.data?.accessToken,
      scopes: result.data?.scopes ?? [],
      refresh: again(true),
      ask: again(false),
      signOut: async () => { await account.signOut(); },
    };
  }

  return {
    signIn: async (username) => next(await app.signIn({ username, scopes, claims }), username),
    signUp: async (username) => next(await app.signUp({ username }), username),
    resetPassword: async (username) => next(await app.resetPassword({ username }), username),
    /** The session that is still there after a reload, if any. */
    restore: async () => {
      const found = app.getCurrentAccount();
      return found.isCompleted() ? session(found.data) : null;
    },
  };
}
