// The page of the browser tests: the unmodified MSAL JS, driven by name.
//
// Decides nothing and knows no flow. A test names a method, the page calls it, keeps what came back, and tells what the
// SDK itself says of it: every public predicate (`isCodeRequired()`, `isInvalidCode()`, …) that holds.

import { CustomAuthAccountData, CustomAuthPublicClientApplication } from "@azure/msal-browser/custom-auth";

const kept = [];

function keep(value) {
    return kept.push(value) - 1;
}

// The names of the predicates that hold. Those that end in `Error` are protected in the SDK's types: no app calls them.
function saidOf(value) {
    const names = new Set();
    for (let type = Object.getPrototypeOf(value); type !== Object.prototype; type = Object.getPrototypeOf(type)) {
        Object.getOwnPropertyNames(type).forEach((name) => names.add(name));
    }
    return [...names].filter((name) => /^is[A-Z]/.test(name) && !name.endsWith("Error") && value[name]());
}

function toldError(error) {
    const { error: code, subError, errorCodes, errorDescription, correlationId, attributes } = error.errorData;
    return { said: saidOf(error), code, subError, errorCodes, errorDescription, correlationId, attributes };
}

function told(value) {
    if (value?.state === undefined) {
        return { value };
    }
    return {
        id: keep(value),
        said: saidOf(value),
        error: value.error && toldError(value.error),
        value: value.data instanceof CustomAuthAccountData ? undefined : value.data,
    };
}

globalThis.sdk = {
    // `headers`, if any, are what the app's request interceptor adds to every native call.
    async create(configuration, headers) {
        if (headers) {
            configuration.customAuth.requestInterceptor = { addAdditionalHeaderFields: () => headers };
        }
        try {
            return { id: keep(await CustomAuthPublicClientApplication.create(configuration)) };
        } catch (error) {
            return { refused: error.errorCode ?? error.error ?? String(error) };
        }
    },

    // Call a method of something kept, or of a member of it: its `state`, its `data`.
    async call(id, member, method, inputs) {
        const owner = member ? kept[id][member] : kept[id];
        return told(await owner[method](...inputs));
    },

    // The same several times at once.
    async callAtOnce(times, ...call) {
        return Promise.all(Array.from({ length: times }, () => globalThis.sdk.call(...call)));
    },
};
