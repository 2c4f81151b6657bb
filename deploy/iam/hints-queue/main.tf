# A bus that receives SageMaker's image events from all accounts and regions, and the queue of image-history:
# see docs/hints.md.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "organization_id" {
  description = "Id of the organization whose accounts may send events."
  type        = string

  validation {
    condition     = can(regex("^o-[a-z0-9]{10,32}$", var.organization_id))
    error_message = "An organization's id is o- and 10 to 32 letters and digits."
  }
}

variable "reader_role" {
  description = "Name of the role in this account that image-history reads the queue with."
  type        = string
}

resource "aws_cloudwatch_event_bus" "hints" {
  name = "image-history"
}

data "aws_iam_policy_document" "bus" {
  statement {
    sid       = "AcceptEventsOfTheOrganization"
    effect    = "Allow"
    actions   = ["events:PutEvents"]
    resources = [aws_cloudwatch_event_bus.hints.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalOrgID"
      values   = [var.organization_id]
    }
  }
}

resource "aws_cloudwatch_event_bus_policy" "hints" {
  event_bus_name = aws_cloudwatch_event_bus.hints.name
  policy         = data.aws_iam_policy_document.bus.json
}

resource "aws_sqs_queue" "dead_letters" {
  name_prefix               = "image-history-dead-letters-"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "hints" {
  name_prefix                = "image-history-"
  message_retention_seconds  = 1209600 # 14 days: the maximum, and longer than hints.trust
  visibility_timeout_seconds = 300
  sqs_managed_sse_enabled    = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = 1000 # every sync receives a hint until the hint is settled
  })
}

resource "aws_cloudwatch_event_rule" "hints" {
  name_prefix    = "image-history-"
  description    = "SageMaker's image events to the queue of image-history"
  event_bus_name = aws_cloudwatch_event_bus.hints.name

  event_pattern = jsonencode({
    source = ["aws.sagemaker"]
    detail-type = [
      "SageMaker Image State Change",
      "SageMaker Image Version State Change",
      "AWS API Call via CloudTrail",
    ]
  })
}

resource "aws_cloudwatch_event_target" "hints" {
  rule           = aws_cloudwatch_event_rule.hints.name
  event_bus_name = aws_cloudwatch_event_bus.hints.name
  arn            = aws_sqs_queue.hints.arn

  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }
}

data "aws_iam_policy_document" "queue" {
  for_each = {
    hints        = aws_sqs_queue.hints
    dead_letters = aws_sqs_queue.dead_letters
  }

  statement {
    sid       = "SendFromTheRule"
    effect    = "Allow"
    actions   = ["sqs:SendMessage"]
    resources = [each.value.arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.hints.arn]
    }
  }
}

resource "aws_sqs_queue_policy" "hints" {
  queue_url = aws_sqs_queue.hints.id
  policy    = data.aws_iam_policy_document.queue["hints"].json
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id
  policy    = data.aws_iam_policy_document.queue["dead_letters"].json
}

data "aws_iam_policy_document" "reader" {
  statement {
    sid    = "ReadHints"
    effect = "Allow"
    actions = [
      "sqs:ChangeMessageVisibility",
      "sqs:DeleteMessage",
      "sqs:GetQueueAttributes",
      "sqs:ReceiveMessage",
    ]
    resources = [aws_sqs_queue.hints.arn]
  }
}

resource "aws_iam_role_policy" "reader" {
  name   = "image-history-hints"
  role   = var.reader_role
  policy = data.aws_iam_policy_document.reader.json
}

output "bus_arn" {
  description = "What hints-source takes, in each account and region."
  value       = aws_cloudwatch_event_bus.hints.arn
}

output "queue_url" {
  description = "For config.yaml: hints.queue."
  value       = aws_sqs_queue.hints.url
}
