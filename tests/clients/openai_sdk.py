"""Runs openai-python against BASE_URL and prints one JSON object: the facts of each case, for the Rust test to judge."""

import json
import os
import sys
import traceback

import openai
from openai import OpenAI
from pydantic import BaseModel

MODEL = "gpt-5.4"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
STEPS = 'sim:call weather {"city":"Oslo"} and weather {"city":"Rome"} then weather {"city":"Kyiv"} then say done'
USER = [{"role": "user", "content": "Say hello"}]

client = OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ.get("API_KEY", "none"), max_retries=0, timeout=30)


class Person(BaseModel):
    name: str
    age: int


def chat_plain():
    answer = client.chat.completions.create(
        model=MODEL, messages=USER, temperature=0.5, seed=7, stop=["x"], presence_penalty=0.1, max_tokens=100, user="me"
    )
    choice = answer.choices[0]
    return {
        "content": choice.message.content,
        "finish": choice.finish_reason,
        "role": choice.message.role,
        "usage": answer.usage.model_dump(),
        "object": answer.object,
    }


def chat_stream():
    stream = client.chat.completions.create(
        model=MODEL, messages=USER, stream=True, stream_options={"include_usage": True}, reasoning_effort="high"
    )
    chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    return {
        "content": "".join(delta.content or "" for delta in deltas),
        "reasoning": "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas),
        "first_role": deltas[0].role,
        "finishes": [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason],
        "ids": len({chunk.id for chunk in chunks}),
        "models": len({chunk.model for chunk in chunks}),
        "usage": chunks[-1].usage.model_dump() if chunks[-1].usage else None,
        "usage_choices": len(chunks[-1].choices),
    }


def chat_tools(stream):
    """The whole loop: answers every tool call until the model has said its last word."""
    messages = [{"role": "user", "content": STEPS}]
    steps = []
    for _ in range(8):
        if stream:
            with client.chat.completions.stream(model=MODEL, messages=messages, tools=TOOLS) as events:
                for _event in events:
                    pass
                choice = events.get_final_completion().choices[0]
        else:
            choice = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS).choices[0]
        message = choice.message
        calls = message.tool_calls or []
        steps.append(
            {
                "finish": choice.finish_reason,
                "calls": [[call.function.name, json.loads(call.function.arguments)] for call in calls],
                "content": message.content,
            }
        )
        if not calls:
            break
        messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
        for call in calls:
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"sunny in {call.function.arguments}"})
    return steps


def chat_structured():
    answer = client.chat.completions.parse(model=MODEL, messages=USER, response_format=Person)
    return answer.choices[0].message.parsed.model_dump()


def responses_plain():
    answer = client.responses.create(model=MODEL, input="Say hello")
    return {"text": answer.output_text, "status": answer.status, "usage": answer.usage.model_dump(), "object": answer.object}


def responses_stream():
    kinds = []
    with client.responses.stream(model=MODEL, input="Say hello") as events:
        for event in events:
            kinds.append(event.type)
        answer = events.get_final_response()
    return {"first": kinds[0], "last": kinds[-1], "text": answer.output_text, "output": [item.type for item in answer.output]}


def responses_tools():
    """Returns everything it got, encrypted reasoning too, as the SDK's documentation says."""
    tool = {"type": "function", **TOOLS[0]["function"], "strict": False}
    items = [{"role": "user", "content": STEPS}]
    steps = []
    for _ in range(8):
        answer = client.responses.create(
            model=MODEL, input=items, tools=[tool], store=False, include=["reasoning.encrypted_content"]
        )
        steps.append([item.type for item in answer.output])
        items += [item.model_dump(exclude_none=True) for item in answer.output]
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            break
        for call in calls:
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    return {"steps": steps, "text": answer.output_text}


def responses_structured():
    answer = client.responses.parse(model=MODEL, input="Who is it?", text_format=Person)
    return answer.output_parsed.model_dump()


def models():
    return [model.id for model in client.models.list()]


def error(run):
    try:
        run()
    except openai.APIStatusError as problem:
        return {
            "class": type(problem).__name__,
            "status": problem.status_code,
            "code": problem.code,
            "type": problem.type,
            "param": problem.param,
            "message": str(problem.body.get("message") if isinstance(problem.body, dict) else None),
            "retry_after": problem.response.headers.get("retry-after"),
        }
    return {"class": None}


def bad_request():
    return error(lambda: client.chat.completions.create(model=MODEL, messages=[{"role": "robot", "content": "x"}]))


def any_error():
    return error(lambda: client.chat.completions.create(model=MODEL, messages=USER))


def any_stream_error():
    return error(lambda: list(client.chat.completions.create(model=MODEL, messages=USER, stream=True)))


CASES = {
    "chat_plain": chat_plain,
    "chat_stream": chat_stream,
    "chat_tools": lambda: chat_tools(stream=False),
    "chat_tools_stream": lambda: chat_tools(stream=True),
    "chat_structured": chat_structured,
    "responses_plain": responses_plain,
    "responses_stream": responses_stream,
    "responses_tools": responses_tools,
    "responses_structured": responses_structured,
    "models": models,
    "bad_request": bad_request,
    "any_error": any_error,
    "any_stream_error": any_stream_error,
}


def main():
    facts = {}
    for name in sys.argv[1:]:
        try:
            facts[name] = CASES[name]()
        except Exception:
            facts[name] = {"raised": traceback.format_exc()}
    print(json.dumps(facts))


main()
