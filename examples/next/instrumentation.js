// Resumes work left by a crash when the server starts, not with the first request.
export async function register() {
  if (process.env.NEXT_RUNTIME !== "nodejs") return;
  const { receiver } = await import("./receiver.js");
  receiver.start();
}
